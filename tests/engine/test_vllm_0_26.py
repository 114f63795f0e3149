"""The parser in vLLM 0.26, which the upstream profile serves: its own classes, whole and in pieces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine import in_image
from tests.engine.clients_view import meant, of_chunks
from tests.engine.sayings import GIVEN, SAID, TOOLS, thought_and_said
from tests.system.contract import parsers

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.vllm
# Not all at once: its own reasoning parser then takes the token that ends the turn for text.
AT_ONCE = (1, 2, 3, 5)
Case = tuple[str, int]
CASES: list[Case] = [(name, at_once) for name in SAID for at_once in AT_ONCE]


@pytest.fixture(scope="module")
def answers(docker_client: DockerClient) -> dict[Case, dict[str, Any]]:
    packages = parsers.packages("0.26.0")
    assert packages
    asked = [{"said": thought_and_said(name), "at_once": at_once, "tools": TOOLS} for name, at_once in CASES]
    return dict(zip(CASES, in_image.ask(docker_client, "answer_as_0_26.py", asked, packages), strict=True))


@pytest.mark.parametrize("name", SAID)
def test_whole(answers: dict[Case, dict[str, Any]], name: str) -> None:
    whole, wanted = answers[name, 1]["whole"], meant(thought_and_said(name))
    assert (whole["content"] or "", whole["reasoning"]) == (wanted.content, wanted.reasoning)
    calls = [
        (name, json.loads(arguments), ident if ident in GIVEN else None)
        for name, arguments, ident in whole["calls"]
    ]
    assert tuple(calls) == wanted.calls


@pytest.mark.parametrize(("name", "at_once"), CASES)
def test_streamed(answers: dict[Case, dict[str, Any]], name: str, at_once: int) -> None:
    wanted = meant(thought_and_said(name))
    deltas = answers[name, at_once]["streamed"]
    # The server adds the reason; here it is the wanted one.
    chunks = [{"choices": [{"delta": delta, "finish_reason": wanted.finish_reason}]} for delta in deltas]
    assert of_chunks(chunks, GIVEN) == wanted
