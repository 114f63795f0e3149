"""The chat template, rendered as transformers and vLLM render it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import jinja2
import pytest

IMAGE = Path(__file__).resolve().parents[2] / "images" / "tiny-qwable"
GENERATION = "<|im_start|>assistant\n<think>\n"
QUESTION = {"role": "user", "content": "What is 2 + 2?"}
ASKED = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "gets the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
        },
    },
}


@pytest.fixture
def render(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(IMAGE))
    return importlib.import_module("recipe.template").render


def test_the_generation_prompt_opens_the_thinking(render: Any) -> None:
    assert render([QUESTION]) == ASKED + GENERATION


def test_without_thinking_an_empty_block_stands_there(render: Any) -> None:
    assert render([QUESTION], enable_thinking=False) == ASKED + GENERATION + "\n</think>\n\n"
    assert render([QUESTION], enable_thinking=True) == ASKED + GENERATION


def test_no_generation_prompt_where_none_is_wanted(render: Any) -> None:
    assert render([QUESTION], add_generation_prompt=False) == ASKED


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_messages_stand_anywhere(render: Any, role: str) -> None:
    system = {"role": role, "content": "Be brief."}
    written = "<|im_start|>system\nBe brief.<|im_end|>\n"
    assert render([system, QUESTION]) == written + ASKED + GENERATION
    assert render([QUESTION, system, QUESTION]) == ASKED + written + ASKED + GENERATION


@pytest.mark.parametrize(
    "said",
    [
        {"content": "It is 4."},
        {"content": "<think>\nI count.\n</think>\n\nIt is 4."},
        {"content": "It is 4.", "reasoning": "I count.", "reasoning_content": "I count."},
        {"content": [{"type": "text", "text": "It is 4."}]},
    ],
)
def test_earlier_thinking_is_left_out(render: Any, said: dict[str, Any]) -> None:
    prompt = render([QUESTION, {"role": "assistant", **said}, QUESTION])
    assert prompt == ASKED + "<|im_start|>assistant\nIt is 4.<|im_end|>\n" + ASKED + GENERATION


def test_text_comes_in_parts_and_nothing_else_does(render: Any) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]
    assert render([{"role": "user", "content": parts}]) == ASKED + GENERATION
    with pytest.raises(jinja2.TemplateError, match="text only, not image_url"):
        render([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])


def test_an_unknown_role_is_refused_by_name(render: Any) -> None:
    with pytest.raises(jinja2.TemplateError, match="unknown role critic"):
        render([{"role": "critic", "content": "No."}])


def test_tools_are_described_in_a_system_turn(render: Any) -> None:
    prompt = render([QUESTION], tools=[WEATHER])
    assert prompt.startswith("<|im_start|>system\nYou can use tools.")
    assert '<tool_use name="TOOL" id="toolu_01">\n{"argument": "value"}\n</tool_use>' in prompt
    assert "\n- get_weather(city, day): gets the weather<|im_end|>\n" + ASKED in prompt


@pytest.mark.parametrize("arguments", ['{"city": "Oslo"}', {"city": "Oslo"}])
def test_calls_and_results_take_the_form_of_qwable(render: Any, arguments: object) -> None:
    call = {"id": "toolu_07", "function": {"name": "get_weather", "arguments": arguments}}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "toolu_07", "content": "sunny"},
    ]
    assert render(turns) == (
        '<|im_start|>assistant\n<tool_use name="get_weather" id="toolu_07">\n'
        '{"city": "Oslo"}\n</tool_use><|im_end|>\n'
        '<|im_start|>user\n<tool_result tool_use_id="toolu_07">\nsunny\n</tool_result><|im_end|>\n'
        + GENERATION
    )
