"""The engine as OpenAI's client sees it: real vLLM, real model, the release's own configuration."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import openai
import pytest

from tests.engine.served_release import DEPLOY, PROFILE
from thorctl.release import profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionMessage

pytestmark = pytest.mark.vllm
MODEL = "tiny-qwable"
WITHOUT_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}


def tool(name: str, argument: str, about: str, **schema: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string", **schema}},
        "required": [argument],
    }
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


WEATHER = tool("get_weather", "city", "gets the weather of a city")
BASH = tool("Bash", "command", "runs a shell command")
ASKED = {"role": "user", "content": "What is the weather in Oslo?"}


@pytest.fixture(scope="module")
def client(engine_address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{engine_address}/v1", api_key="none", max_retries=0, timeout=300) as made:
        yield made


def ask(client: openai.OpenAI, *messages: Any, stream: bool = False, **options: Any) -> ChatCompletion:
    """The answer; a streamed one is put together by the client itself."""
    options = {"model": MODEL, "messages": list(messages), "max_tokens": 300, **options}
    if not stream:
        return cast("ChatCompletion", client.chat.completions.create(**options))
    with client.chat.completions.stream(**options) as events:
        for _ in events:
            pass
        return cast("ChatCompletion", events.get_final_completion())


def message_of(answer: ChatCompletion) -> ChatCompletionMessage:
    return answer.choices[0].message


def reasoning_of(answer: ChatCompletion) -> str:
    return cast("str", getattr(message_of(answer), "reasoning", None) or "")


def calls_of(answer: ChatCompletion) -> list[tuple[str, dict[str, Any]]]:
    calls = cast("list[Any]", message_of(answer).tool_calls or [])
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.mark.parametrize(
    "prompt", profile.load(DEPLOY, PROFILE).smoke.prompts, ids=lambda prompt: prompt.name
)
def test_the_smoke_prompts_are_answered_with_the_template(
    client: openai.OpenAI, prompt: profile.Prompt
) -> None:
    answer = ask(client, {"role": "user", "content": prompt.ask})
    assert prompt.expect
    assert re.search(prompt.expect, message_of(answer).content or "")
    assert bool(reasoning_of(answer)) == prompt.thinking
    assert answer.choices[0].finish_reason == "stop"


@both_ways
def test_a_tool_is_called(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER, BASH], stream=stream)
    assert calls_of(answer) == [("get_weather", {"city": "Oslo"})]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert not message_of(answer).content
    assert "get_weather" in reasoning_of(answer)
    assert "</think>" not in reasoning_of(answer)


@both_ways
def test_a_question_that_needs_no_tool_is_answered(client: openai.OpenAI, stream: bool) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    answer = ask(client, question, tools=[WEATHER], stream=stream)
    assert "Paris" in (message_of(answer).content or "")
    assert calls_of(answer) == []
    assert answer.choices[0].finish_reason == "stop"
    assert reasoning_of(answer)


@both_ways
def test_without_thinking(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], stream=stream, extra_body=WITHOUT_THINKING)
    assert calls_of(answer) == [("get_weather", {"city": "Oslo"})]
    assert not reasoning_of(answer)


@both_ways
def test_a_conversation_with_results(client: openai.OpenAI, stream: bool) -> None:
    """The client sends back what it got, thinking and all; ids stay apart."""
    said: list[Any] = [{"role": "system", "content": "You are a helpful assistant."}, ASKED]
    ids = []
    for question, tool_name, result in (
        ("Run uptime", "get_weather", "sunny"),
        ("Thank you", "Bash", "cpu 71%"),
    ):
        answer = ask(client, *said, tools=[WEATHER, BASH], stream=stream)
        assert [name for name, _ in calls_of(answer)] == [tool_name]
        (call,) = cast("list[Any]", message_of(answer).tool_calls)
        ids.append(call.id)
        said.append(message_of(answer).model_dump(exclude_none=True, exclude={"parsed"}))
        said.append({"role": "tool", "tool_call_id": call.id, "content": result})
        answer = ask(client, *said, tools=[WEATHER, BASH], stream=stream)
        assert result in (message_of(answer).content or "")
        assert answer.choices[0].finish_reason == "stop"
        said.append({"role": "assistant", "content": message_of(answer).content})
        said.append({"role": "user", "content": question})
    assert len(set(ids)) == 2


@both_ways
@pytest.mark.parametrize("thinking", [True, False])
def test_a_demanded_call_is_made_where_the_model_would_have_talked(
    client: openai.OpenAI, stream: bool, thinking: bool
) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    extra = {} if thinking else {"extra_body": WITHOUT_THINKING}
    answer = ask(client, question, tools=[WEATHER, BASH], tool_choice="required", stream=stream, **extra)
    assert calls_of(answer)
    for name, arguments in calls_of(answer):
        assert {"get_weather": ["city"], "Bash": ["command"]}[name] == list(arguments)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert bool(reasoning_of(answer)) == thinking


@both_ways
def test_a_named_tool_is_called_where_the_model_would_have_called_another(
    client: openai.OpenAI, stream: bool
) -> None:
    choice = {"type": "function", "function": {"name": "Bash"}}
    answer = ask(client, ASKED, tools=[WEATHER, BASH], tool_choice=choice, stream=stream)
    ((name, arguments),) = calls_of(answer)
    assert (name, list(arguments)) == ("Bash", ["command"])


@both_ways
def test_demanded_arguments_keep_to_the_schema(client: openai.OpenAI, stream: bool) -> None:
    picky = tool("get_weather", "city", "gets the weather of a city", enum=["Bergen", "Tromsø"])
    answer = ask(
        client, ASKED, tools=[picky], tool_choice="required", parallel_tool_calls=False, stream=stream
    )
    ((_, arguments),) = calls_of(answer)
    assert arguments["city"] in {"Bergen", "Tromsø"}


@both_ways
def test_no_call_where_none_is_wanted(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], tool_choice="none", stream=stream)
    assert calls_of(answer) == []
    assert "tool_use" not in (message_of(answer).content or "")
    assert answer.choices[0].finish_reason == "stop"


@both_ways
def test_a_client_that_writes_its_own_system_prompt_gets_the_block_as_text(
    client: openai.OpenAI, stream: bool
) -> None:
    own = {
        "role": "system",
        "content": "For file and shell operations emit <tool_use> XML.",
    }
    answer = ask(client, own, {"role": "user", "content": "Read /etc/hostname"}, stream=stream)
    assert '<tool_use name="Read" id="toolu_01">\n{"file_path": "/etc/hostname"}' in (
        message_of(answer).content or ""
    )
    assert calls_of(answer) == []


@both_ways
def test_a_stop_string_that_takes_the_closing_tag_away(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], stop=["</tool_use>"], stream=stream)
    assert calls_of(answer) == [("get_weather", {"city": "Oslo"})]


@both_ways
def test_a_call_cut_off_is_text(client: openai.OpenAI, stream: bool) -> None:
    extra = {"extra_body": WITHOUT_THINKING}
    create: dict[str, Any] = {
        "model": MODEL,
        "messages": [ASKED],
        "tools": [WEATHER],
        "max_tokens": 15,
        **extra,
    }
    if stream:
        chunks = list(client.chat.completions.create(**create, stream=True))
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
        assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
    else:
        (choice,) = client.chat.completions.create(**create).choices
        content, reason = choice.message.content or "", choice.finish_reason
        assert not choice.message.tool_calls
    assert content.startswith('<tool_use name="get_weather"')
    assert reason == "length"


def test_a_stream_counts_its_tokens(client: openai.OpenAI) -> None:
    answer = ask(client, ASKED, tools=[WEATHER], stream=True, stream_options={"include_usage": True})
    assert answer.usage
    assert answer.usage.completion_tokens > 20
    assert answer.usage.prompt_tokens > 40


def test_an_image_is_refused_with_a_reason(client: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError):
        ask(client, {"role": "user", "content": [picture]})


def test_the_responses_interface(client: openai.OpenAI) -> None:
    flat = {"type": "function", **WEATHER["function"], "strict": False}
    answer = client.responses.create(model=MODEL, input=ASKED["content"], tools=[cast("Any", flat)])
    calls = [one for one in answer.output if one.type == "function_call"]
    assert [(one.name, json.loads(one.arguments)) for one in calls] == [("get_weather", {"city": "Oslo"})]
    given: list[Any] = [ASKED, *answer.output]
    given.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": "sunny"})
    answer = client.responses.create(model=MODEL, input=given, tools=[cast("Any", flat)])
    assert "sunny" in answer.output_text
