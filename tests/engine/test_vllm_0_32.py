"""The parser in the real server of vLLM 0.32: the model is made to say each notation, whole and streamed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.engine.clients_view import meant, of_choice, of_chunks
from tests.engine.sayings import GIVEN, SAID, TOOLS

pytestmark = pytest.mark.vllm
AT_ONCE = 4  # the profile's max-num-seqs


@pytest.fixture(scope="module")
def answers(engine_address: str) -> dict[tuple[str, bool], Any]:
    """By what is said, and whether it is streamed."""
    with httpx.Client(base_url=engine_address, timeout=300) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        cases = [(name, stream) for name in SAID for stream in (False, True)]
        return dict(zip(cases, pool.map(lambda case: ask(client, *case), cases), strict=True))


def ask(client: httpx.Client, name: str, stream: bool, *earlier: dict[str, Any], **options: Any) -> Any:
    """A choice, or the chunks of a stream. The grammar leaves the model one thing to say."""
    answer = client.post(
        "/v1/chat/completions",
        json={
            "model": "tiny-qwable",
            "messages": [*earlier, {"role": "user", "content": "Say it."}],
            "tools": TOOLS,
            "structured_outputs": {"choice": [SAID[name]]},
            "chat_template_kwargs": {"enable_thinking": False},
            "stream": stream,
            **options,
        },
    )
    assert answer.status_code == 200, answer.text
    if not stream:
        return answer.json()["choices"][0]
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


@pytest.mark.parametrize("name", SAID)
def test_whole(answers: dict[tuple[str, bool], Any], name: str) -> None:
    assert of_choice(answers[name, False], GIVEN) == meant(SAID[name])


@pytest.mark.parametrize("name", SAID)
def test_streamed(answers: dict[tuple[str, bool], Any], name: str) -> None:
    assert of_chunks(answers[name, True], GIVEN) == meant(SAID[name])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_id_that_the_conversation_has_used_is_not_given_again(engine_address: str, stream: bool) -> None:
    used = {"id": "toolu_01", "type": "function", "function": {"name": "Read", "arguments": "{}"}}
    earlier: list[dict[str, Any]] = [
        {"role": "user", "content": "Read it."},
        {"role": "assistant", "tool_calls": [used]},
        {"role": "tool", "tool_call_id": "toolu_01", "content": "sunny"},
    ]
    with httpx.Client(base_url=engine_address, timeout=300) as client:
        answer = ask(client, "two calls", stream, *earlier)
    view = of_chunks(answer, GIVEN) if stream else of_choice(answer, GIVEN)
    assert [ident for *_, ident in view.calls] == [None, "toolu_02"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_one_call_where_the_client_takes_no_more(engine_address: str, stream: bool) -> None:
    with httpx.Client(base_url=engine_address, timeout=300) as client:
        answer = ask(client, "two calls", stream, parallel_tool_calls=False)
    view = of_chunks(answer, GIVEN) if stream else of_choice(answer, GIVEN)
    assert [ident for *_, ident in view.calls] == ["toolu_01"]
