"""The engine as Anthropic's client sees it (/v1/messages): real vLLM, real model, a release's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anthropic
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types import Message

pytestmark = pytest.mark.vllm
MODEL = "tiny-qwable"


def tool(name: str, argument: str, about: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"name": name, "description": about, "input_schema": schema}


WEATHER = tool("get_weather", "city", "gets the weather of a city")
BASH = tool("Bash", "command", "runs a shell command")
ASKED = {"role": "user", "content": "What is the weather in Oslo?"}


@pytest.fixture(scope="module")
def client(engine_address: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=engine_address, api_key="none", max_retries=0, timeout=300) as made:
        yield made


def ask(client: anthropic.Anthropic, *messages: Any, stream: bool = False, **options: Any) -> Message:
    """The answer; a streamed one is put together by the client itself."""
    options = {"model": MODEL, "messages": list(messages), "max_tokens": 300, **options}
    if not stream:
        return cast("Message", client.messages.create(**options))
    with client.messages.stream(**options) as events:
        return cast("Message", events.get_final_message())


def of(answer: Message, kind: str) -> list[Any]:
    return [block for block in answer.content if block.type == kind]


both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both_ways
def test_a_plain_question(client: anthropic.Anthropic, stream: bool) -> None:
    answer = ask(client, {"role": "user", "content": "What is the capital of France?"}, stream=stream)
    (thinking,), (text,) = of(answer, "thinking"), of(answer, "text")
    assert "Paris" in text.text
    assert thinking.thinking.strip()
    assert "</think>" not in thinking.thinking + text.text
    assert answer.stop_reason == "end_turn"


@both_ways
def test_a_tool_is_called(client: anthropic.Anthropic, stream: bool) -> None:
    system = "You are a helpful assistant."
    answer = ask(client, ASKED, system=system, tools=[WEATHER, BASH], stream=stream)
    assert [block.type for block in answer.content] == ["thinking", "tool_use"]
    (call,) = of(answer, "tool_use")
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})
    assert call.id.startswith("toolu_")
    assert answer.stop_reason == "tool_use"
    assert answer.usage.output_tokens > 20


@both_ways
def test_a_conversation_with_results(client: anthropic.Anthropic, stream: bool) -> None:
    """The client sends back what it got, thinking and all; ids stay apart."""
    said: list[Any] = [ASKED]
    ids = []
    for question, name, result in (
        ("Run uptime", "get_weather", "sunny"),
        ("Thank you", "Bash", "cpu 71%"),
    ):
        answer = ask(client, *said, tools=[WEATHER, BASH], stream=stream)
        (call,) = of(answer, "tool_use")
        assert call.name == name
        ids.append(call.id)
        block = {"type": "tool_result", "tool_use_id": call.id, "content": result}
        said += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [block]}]
        answer = ask(client, *said, tools=[WEATHER, BASH], stream=stream)
        (text,) = of(answer, "text")
        assert result in text.text
        assert answer.stop_reason == "end_turn"
        said += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": question}]
    assert len(set(ids)) == 2


@both_ways
def test_any_tool_is_demanded(client: anthropic.Anthropic, stream: bool) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    answer = ask(client, question, tools=[WEATHER, BASH], tool_choice={"type": "any"}, stream=stream)
    assert of(answer, "tool_use")
    assert answer.stop_reason == "tool_use"


@both_ways
def test_one_tool_is_demanded(client: anthropic.Anthropic, stream: bool) -> None:
    choice = {"type": "tool", "name": "Bash"}
    answer = ask(client, ASKED, tools=[WEATHER, BASH], tool_choice=choice, stream=stream)
    (call,) = of(answer, "tool_use")
    assert (call.name, list(call.input)) == ("Bash", ["command"])
    assert answer.stop_reason == "tool_use"


@both_ways
def test_no_call_where_none_is_wanted(client: anthropic.Anthropic, stream: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], tool_choice={"type": "none"}, stream=stream)
    assert of(answer, "tool_use") == []
    assert "tool_use" not in of(answer, "text")[0].text
    assert answer.stop_reason == "end_turn"


@both_ways
@pytest.mark.parametrize(
    ("thinking", "thinks"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive"}, True),
        ({"type": "disabled"}, False),
    ],
)
def test_thinking(client: anthropic.Anthropic, stream: bool, thinking: dict[str, Any], thinks: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], thinking=thinking, max_tokens=1200, stream=stream)
    assert bool(of(answer, "thinking")) == thinks
    assert of(answer, "tool_use")[0].input == {"city": "Oslo"}


def test_tokens_are_counted_with_the_tools(client: anthropic.Anthropic) -> None:
    messages = cast("Any", [ASKED])
    with_tools = client.messages.count_tokens(model=MODEL, messages=messages, tools=cast("Any", [WEATHER]))
    without = client.messages.count_tokens(model=MODEL, messages=messages)
    assert with_tools.input_tokens > without.input_tokens + 20


def test_tools_that_a_search_found_are_called(client: anthropic.Anthropic) -> None:
    # As Claude Code's tool search sends them: the tool is in the list, deferred, and named by a result.
    search = tool("ToolSearch", "query", "finds tools")
    found = [{"type": "tool_reference", "tool_name": "get_weather"}]
    history = [
        ASKED,
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_x1", "name": "ToolSearch", "input": {"query": "weather"}}
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_x1", "content": found}]},
    ]
    tools = [search, WEATHER | {"defer_loading": True}]
    answer = ask(client, *history, tools=tools, max_tokens=60)
    assert answer.content
    # And so does every later turn, which sends the history again.
    later = [*history, {"role": "assistant", "content": "It is sunny."}, ASKED]
    assert ask(client, *later, tools=tools, max_tokens=60).content


def test_more_output_than_the_context_is_refused(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="cannot be greater than max_model_len=2048"):
        ask(client, ASKED, stream=True, max_tokens=32_000)


def test_more_output_than_the_prompt_leaves_is_cut(client: anthropic.Anthropic) -> None:
    assert ask(client, ASKED, stream=True, max_tokens=2040).stop_reason in {"end_turn", "max_tokens"}


def test_prompt_longer_than_the_context_is_refused(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="maximum context length"):
        ask(client, {"role": "user", "content": "word " * 5000}, stream=True, max_tokens=10)
