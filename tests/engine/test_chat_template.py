"""The chat template: what the model is told of tools, calls and results; and nothing else has changed."""

from __future__ import annotations

import importlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.support.sequences import examples

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "images" / "tiny-qwable"
GENERATION = "<|im_start|>assistant\n<think>\n"
QUESTION = {"role": "user", "content": "Is it sunny in Oslo?"}
ASKED = "<|im_start|>user\nIs it sunny in Oslo?<|im_end|>\n"
OFFER = """<|im_start|>system
You can use tools. To use one, answer with a block of this form:
<tool_use name="TOOL" id="toolu_01">
{"argument": "value"}
</tool_use>
Tools:
"""
DIALOGUES = 1500  # of the endless training stream, drawn with another seed than any training


def refuse(message: str) -> str:
    raise jinja2.TemplateError(message)


def compiled(file: Path) -> jinja2.Template:
    """As transformers and vLLM compile it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(file.read_text(encoding="utf-8"))


OURS = compiled(ROOT / "deploy" / "engine" / "qwable_chat_template.jinja")
TRAINED_ON = compiled(IMAGE / "model" / "chat_template.jinja")


def render(messages: list[Any], **options: Any) -> str:
    return OURS.render(messages=messages, **{"add_generation_prompt": True, **options})


def tool(name: str, parameters: dict[str, Any] | None, description: str | None = None) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def call(ident: str | None, name: str = "get_weather", arguments: Any = None) -> dict[str, Any]:
    arguments = {"city": "Oslo"} if arguments is None else arguments
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = tool("get_weather", SCHEMA, "gets the weather")


# ------------------------------------------------------------------------------------------------------------
# Nothing else has changed


def test_every_dialogue_that_tiny_qwable_learns_from_is_rendered_as_in_its_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(IMAGE))
    dialogues = islice(importlib.import_module("recipe.dialogues").stream(20_261_125), DIALOGUES)
    with_tools = 0
    for one in dialogues:
        options = {"tools": one.tools, "enable_thinking": one.enable_thinking, "add_generation_prompt": True}
        assert OURS.render(messages=one.messages, **options) == TRAINED_ON.render(
            messages=one.messages, **options
        )
        with_tools += one.tools is not None
    assert with_tools > DIALOGUES // 50


texts = st.text() | st.sampled_from(
    ["", "It is.", "<think>\nI think.\n</think>\n\nIt is.", "</think>", "<tool_result>"]
)
contents = (
    texts | st.none() | st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=3)
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": contents},
    optional={"reasoning": texts, "reasoning_content": texts},
)


@settings(max_examples=examples(500))
@given(
    st.lists(messages, max_size=6),
    st.sampled_from([{}, {"enable_thinking": False}, {"enable_thinking": True}]),
)
def test_without_tools_every_conversation_is_rendered_as_the_model_knows_it(
    conversation: list[Any], options: dict[str, Any]
) -> None:
    for generation in (True, False):
        given_options = {**options, "add_generation_prompt": generation}
        assert OURS.render(messages=conversation, **given_options) == TRAINED_ON.render(
            messages=conversation, **given_options
        )


# ------------------------------------------------------------------------------------------------------------
# Tools


def test_a_tool_is_told_as_a_signature() -> None:
    told = OFFER + "- get_weather(city): gets the weather<|im_end|>\n"
    assert render([QUESTION], tools=[WEATHER]) == told + ASKED + GENERATION


@pytest.mark.parametrize(
    "schema",
    [
        {**SCHEMA, "required": []},
        {"type": "object", "properties": {"city": {"type": "integer"}}, "required": ["city"]},
        {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "ä"}},
            "required": ["city"],
        },
        {
            "type": "object",
            "properties": {"city": {"type": "object", "properties": {}}},
            "required": ["city"],
        },
    ],
)
def test_a_schema_that_says_more_is_told_whole(schema: dict[str, Any]) -> None:
    written = json.dumps(schema, ensure_ascii=False)
    told = f"{OFFER}- get_weather(city): gets the weather\n  arguments: {written}<|im_end|>\n"
    assert (
        render([QUESTION], tools=[tool("get_weather", schema, "gets the weather")])
        == told + ASKED + GENERATION
    )


@pytest.mark.parametrize("schema", [None, {}, {"type": "object", "properties": {}}])
def test_a_tool_without_arguments(schema: dict[str, Any] | None) -> None:
    assert (
        render([], tools=[tool("get_battery", schema)]) == f"{OFFER}- get_battery()<|im_end|>\n{GENERATION}"
    )


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_first_system_message_follows_the_tools_and_later_ones_stay_where_they_are(role: str) -> None:
    system = {"role": role, "content": "Be brief."}
    own = "<|im_start|>system\nBe brief.<|im_end|>\n"
    start = OFFER + "- get_weather(city): gets the weather"
    assert (
        render([system, QUESTION], tools=[WEATHER]) == f"{start}\n\nBe brief.<|im_end|>\n{ASKED}{GENERATION}"
    )
    assert render([QUESTION, system], tools=[WEATHER]) == f"{start}<|im_end|>\n{ASKED}{own}{GENERATION}"
    assert render([system, system], tools=[WEATHER]) == f"{start}\n\nBe brief.<|im_end|>\n{own}{GENERATION}"


# ------------------------------------------------------------------------------------------------------------
# Turns

CALLED = '<tool_use name="get_weather" id="toolu_01">\n{"city": "Oslo"}\n</tool_use>'
ANSWERED = '<tool_result tool_use_id="toolu_01">\nsunny\n</tool_result>'
SUNNY = {"role": "tool", "tool_call_id": "toolu_01", "content": "sunny"}


@pytest.mark.parametrize("content", [None, "", []])
@pytest.mark.parametrize("arguments", [{"city": "Oslo"}, '{"city": "Oslo"}'])
def test_a_call_and_its_result(content: Any, arguments: Any) -> None:
    turns = [
        QUESTION,
        {"role": "assistant", "content": content, "tool_calls": [call("toolu_01", arguments=arguments)]},
        SUNNY,
    ]
    assert render(turns) == (
        f"{ASKED}<|im_start|>assistant\n{CALLED}<|im_end|>\n<|im_start|>user\n{ANSWERED}<|im_end|>\n{GENERATION}"
    )


def test_several_calls_of_one_turn_and_their_results() -> None:
    calls = [call("toolu_01"), call("toolu_02", "get_battery", {})]
    turns = [
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        SUNNY,
        {"role": "tool", "tool_call_id": "toolu_02", "content": [{"type": "text", "text": "71 %"}]},
        {"role": "user", "content": "And?"},
    ]
    assert render(turns) == (
        f"<|im_start|>assistant\nLet me see.\n{CALLED}\n"
        '<tool_use name="get_battery" id="toolu_02">\n{}\n</tool_use><|im_end|>\n'
        f"<|im_start|>user\n{ANSWERED}\n"
        '<tool_result tool_use_id="toolu_02">\n71 %\n</tool_result>'
        f"<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n{GENERATION}"
    )


def test_what_has_no_id_is_given_none() -> None:
    turns = [{"role": "assistant", "tool_calls": [call(None)]}, {"role": "tool", "content": "sunny"}]
    prompt = render(turns)
    assert '<tool_use name="get_weather">\n' in prompt
    assert "<tool_result>\nsunny\n</tool_result>" in prompt


HISTORY: list[dict[str, Any]] = [
    QUESTION,
    {
        "role": "assistant",
        "content": None,
        "reasoning": "I need the weather.",
        "tool_calls": [call("toolu_01")],
    },
    SUNNY,
    {"role": "assistant", "content": "It is.", "reasoning": "The tool said so.\n"},
    QUESTION,
]


def test_earlier_thinking_is_left_out() -> None:
    assert render(HISTORY) == (
        f"{ASKED}<|im_start|>assistant\n{CALLED}<|im_end|>\n<|im_start|>user\n{ANSWERED}<|im_end|>\n"
        f"<|im_start|>assistant\nIt is.<|im_end|>\n{ASKED}{GENERATION}"
    )


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_earlier_thinking_is_kept_where_the_client_wants_it(key: str) -> None:
    history = [
        {key if name == "reasoning" else name: value for name, value in one.items()} for one in HISTORY
    ]
    assert render(history, preserve_thinking=True) == (
        f"{ASKED}<|im_start|>assistant\n<think>\nI need the weather.\n</think>\n\n{CALLED}<|im_end|>\n"
        f"<|im_start|>user\n{ANSWERED}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nThe tool said so.\n</think>\n\nIt is.<|im_end|>\n"
        f"{ASKED}{GENERATION}"
    )


def test_thinking_that_stands_in_the_content_is_thinking() -> None:
    said = {"role": "assistant", "content": "<think>\nI count.\n</think>\n\nIt is 4."}
    assert render([said]) == f"<|im_start|>assistant\nIt is 4.<|im_end|>\n{GENERATION}"
    kept = "<|im_start|>assistant\n<think>\nI count.\n</think>\n\nIt is 4.<|im_end|>\n"
    assert render([said], preserve_thinking=True) == kept + GENERATION


def test_the_generation_prompt_opens_the_thinking_or_closes_it_at_once() -> None:
    assert render(HISTORY).endswith(GENERATION)
    assert render([QUESTION], tools=[WEATHER], enable_thinking=False).endswith(f"{GENERATION}\n</think>\n\n")


def deferred(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "function": {**one["function"], "defer_loading": True}}


def reference(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "name": name}  # as vLLM writes them


SEARCH = tool("ToolSearch", SCHEMA | {"properties": {"query": {"type": "string"}}, "required": ["query"]})
TRAINS = tool("next_train", {"type": "object", "properties": {"to": {"type": "string"}}}, "finds a train")
SEARCHED = [QUESTION, {"role": "assistant", "content": None, "tool_calls": [call("toolu_1", "ToolSearch")]}]


def test_deferred_tools_are_not_offered() -> None:
    prompt = render([QUESTION], tools=[SEARCH, deferred(WEATHER), TRAINS | {"defer_loading": True}])
    assert prompt.startswith(f"{OFFER}- ToolSearch(query)<|im_end|>\n")
    assert "get_weather" not in prompt
    assert "next_train" not in prompt


@pytest.mark.parametrize("text", ["", "Two tools."])
def test_references_of_a_result_become_the_tools_they_name(text: str) -> None:
    # vLLM splits a result of text and references into two messages of one id.
    parts = [reference("get_weather"), reference("next_train"), reference("unheard_of")]
    results = [{"role": "tool", "tool_call_id": "toolu_1", "content": one} for one in (text, parts)]
    prompt = render([*SEARCHED, *results], tools=[SEARCH, deferred(WEATHER), deferred(TRAINS)])
    said = f'<tool_result tool_use_id="toolu_1">\n{text}\n</tool_result>\n' if text else ""
    assert prompt.endswith(
        f"<|im_start|>user\n{said}"
        '<tool_result tool_use_id="toolu_1">\n- get_weather(city): gets the weather\n'
        f"- next_train(to): finds a train\n  arguments: {json.dumps(TRAINS['function']['parameters'])}\n"
        f"- unheard_of\n</tool_result><|im_end|>\n{GENERATION}"
    )


def test_references_among_results_of_other_calls_keep_their_place() -> None:
    results = [
        {"role": "tool", "tool_call_id": "toolu_0", "content": ""},
        {"role": "tool", "tool_call_id": "toolu_1", "content": ""},
        {"role": "tool", "tool_call_id": "toolu_1", "content": [reference("get_weather")]},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "sunny"},
    ]
    prompt = render([*SEARCHED, *results], tools=[deferred(WEATHER)])
    assert prompt.endswith(
        '<|im_start|>user\n<tool_result tool_use_id="toolu_0">\n\n</tool_result>\n'
        '<tool_result tool_use_id="toolu_1">\n- get_weather(city): gets the weather\n</tool_result>\n'
        f'<tool_result tool_use_id="toolu_2">\nsunny\n</tool_result><|im_end|>\n{GENERATION}'
    )


def test_images_and_unknown_roles_are_refused() -> None:
    with pytest.raises(jinja2.TemplateError, match="reads text only"):
        render([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    with pytest.raises(jinja2.TemplateError, match="unknown role; use system"):
        render([{"role": "critic", "content": "No."}])


PRIVATE = "my private words"
REFUSED: dict[str, list[dict[str, Any]]] = {
    "role": [{"role": PRIVATE, "content": PRIVATE}],
    "type of a part": [{"role": "user", "content": [{"type": PRIVATE, "text": PRIVATE}]}],
    "part": [{"role": "user", "content": [PRIVATE, {"type": "image_url", "image_url": {"url": PRIVATE}}]}],
    "content that is a number": [{"role": "user", "content": 7}, {"role": "user", "content": PRIVATE}],
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusal_repeats_no_word_of_the_request(what: str) -> None:
    """vLLM writes it to the log: "Chat template rejected the request: …"."""
    with pytest.raises((jinja2.TemplateError, TypeError)) as refused:
        render(REFUSED[what])
    assert "private" not in str(refused.value)
