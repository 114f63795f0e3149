"""The parser in the real server class of vLLM 0.19.1: each notation, whole and in pieces of any size.

That version ships no kernels for this model on a CPU; what it does with a model's words needs none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine import in_image
from tests.engine.clients_view import meant, of_choice, of_chunks
from tests.engine.sayings import GIVEN, SAID, THOUGHT, TOOLS, thought_and_said

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

pytestmark = pytest.mark.vllm
AT_ONCE = (1, 2, 3, 5, 1000)  # several tokens come at once with speculation; all of them never
REASONS = ("stop", "length")
Case = tuple[str, int, str]
CASES: list[Case] = [(name, at_once, reason) for name in SAID for at_once in AT_ONCE for reason in REASONS]
NAMED = {"type": "function", "function": {"name": "Read"}}
# A demanded call is bare JSON there, which the server reads itself.
DEMANDED: list[tuple[Any, str]] = [
    ("required", '[{"name": "Read", "parameters": {"file_path": "/etc/motd"}}]'),
    (NAMED, '{"file_path": "/etc/motd"}'),
]


@pytest.fixture(scope="module")
def answers(docker_client: DockerClient, vllm_0_19: Path) -> dict[Case, dict[str, Any]]:
    asked = [
        {
            "said": thought_and_said(name),
            "at_once": at_once,
            "finish_reason": reason,
            "request": {"tools": TOOLS},
        }
        for name, at_once, reason in CASES
    ]
    return dict(zip(CASES, in_image.ask(docker_client, "answer_as_0_19.py", asked, vllm_0_19), strict=True))


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name in SAID for reason in REASONS])
def test_whole(answers: dict[Case, dict[str, Any]], name: str, reason: str) -> None:
    got = of_choice(answers[name, 1, reason]["whole"], GIVEN)
    assert got == meant(thought_and_said(name), reason)


@pytest.mark.parametrize(("name", "at_once", "reason"), CASES)
def test_streamed(answers: dict[Case, dict[str, Any]], name: str, at_once: int, reason: str) -> None:
    got = of_chunks(answers[name, at_once, reason]["streamed"], GIVEN)
    wanted = meant(thought_and_said(name), reason)
    if at_once > 1:
        # 0.19 itself drops the thinking that comes together with its end.
        assert wanted.reasoning.startswith(got.reasoning)
        wanted = replace(wanted, reasoning=got.reasoning)
    assert got == wanted


@pytest.fixture(scope="module")
def demanded(docker_client: DockerClient, vllm_0_19: Path) -> list[dict[str, Any]]:
    asked = [
        {
            "said": f"{THOUGHT}</think>{said}",
            "at_once": 1,
            "finish_reason": "stop",
            "request": {"tools": TOOLS, "tool_choice": choice},
        }
        for choice, said in DEMANDED
    ]
    return in_image.ask(docker_client, "answer_as_0_19.py", asked, vllm_0_19)


@pytest.mark.parametrize("at", range(len(DEMANDED)), ids=["required", "named"])
def test_a_demanded_call_is_left_to_the_server(demanded: list[dict[str, Any]], at: int) -> None:
    assert demanded[at]["forced"]
    for view in (of_choice(demanded[at]["whole"], GIVEN), of_chunks(demanded[at]["streamed"], GIVEN)):
        assert view.calls == (("Read", {"file_path": "/etc/motd"}, None),)
        assert (view.content, view.reasoning) == ("", THOUGHT)
