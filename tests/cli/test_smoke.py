"""smoke: what the device found is shown, and its verdict is the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import RELEASE, answers
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.result import Exit, Result
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD: dict[str, Any] = {
    "prompt_name": "capital",
    "prompt": "What is the capital of France?",
    "thinking": "The capital\nof France …",
    "answer": "The capital of France is Paris.",
    "tokens": 37,
    "seconds": 1.25,
    "finish_reason": "stop",
    "failed_checks": [],
}
BAD = GOOD | {
    "prompt_name": "colour",
    "answer": "!!!!\x1b[2J",
    "tokens": None,
    "failed_checks": [{"check": "repetition", "detail": "'!' 64 times"}],
}


def report(*generations: dict[str, Any], passed: bool) -> dict[str, Any]:
    return {
        "release": RELEASE,
        "passed": passed,
        "generations": list(generations),
        "checks": {},
        "tokens_per_second": 41.0 if passed else None,
        "seconds": 12.5,
    }


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def smoke(sshd: Sshd, tmp_path: Path) -> Callable[..., Result]:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")

    def call(*words: str) -> Result:
        result = run(["-i", str(inventory), "smoke", *words])
        assert result is not None
        return result

    return call


def test_every_prompt_is_shown_with_its_text(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", report(GOOD, passed=True)))
    result = smoke("--verbose")
    assert result.exit_code == Exit.SUCCESS
    for words in (
        "thor-01",
        "What is the capital of France?",
        "The capital of France …",
        "The capital of France is Paris.",
        "37 tokens, 1.2 s",
        "41.0 tokens/s",
        "1 of 1 device passed",
    ):
        assert words in str(result.view)
    assert result.data["devices"][0]["passed"] is True
    assert result.data["devices"][0]["generations"] == [GOOD]
    assert "--holder" in sshd.asked.read_text()


RESULTS = [
    {"name": "logprobs", "result": "passed", "reason": "8 tokens"},
    {"name": "tool_call", "result": "failed", "reason": "no call came: 'I will'\x1b[2J"},
    {"name": "long_prompt_answer", "result": "not_asked", "reason": "the profile says: too small"},
]


def test_a_device_is_one_line_unless_something_failed(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", report(GOOD, passed=True) | {"results": RESULTS[::2]}))
    lines = str(smoke().view).strip().splitlines()
    assert len(lines) == 2
    assert "1 check, 1 not asked" in lines[0]
    assert GOOD["answer"] not in str(smoke().view)


def test_a_feature_that_failed_is_shown_with_its_reason(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", report(GOOD, passed=False) | {"results": RESULTS}, {"code": "smoke_failed"}))
    result = smoke()
    assert "failed  tool_call: no call came: 'I will'" in str(result.view)
    assert "\x1b" not in str(result.view)
    assert "logprobs" not in str(result.view)
    assert result.data["devices"][0]["results"] == [one | {"seconds": None} for one in RESULTS]
    assert "not asked  long_prompt_answer: the profile says: too small" in str(smoke("-v").view)


def test_a_first_attempt_is_shown(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", report(GOOD, passed=True) | {"asked_again": BAD}))
    assert "asked again  colour: repetition" in str(smoke().view)


def test_a_failed_smoke_shows_which_text_failed(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", report(GOOD, BAD, passed=False), {"code": "smoke_failed"}))
    result = smoke()
    assert (result.exit_code, result.errors[0].code) == (Exit.ERROR, "smoke_failed")
    assert "repetition: '!' 64 times" in str(result.view)
    assert "!!!!" in str(result.view)
    assert "\x1b" not in str(result.view)
    assert result.data["devices"][0]["passed"] is False


def test_leased_by_someone_else(smoke: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("smoke", {}, {"code": "leased"}, 3))
    result = smoke()
    assert (result.exit_code, result.errors[0].code) == (Exit.LEASED, "leased")
    assert result.data["devices"][0]["passed"] is None


def test_one_device_that_cannot_be_asked(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(answers("smoke", report(GOOD, passed=True)))
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    inventory.write_text(inventory.read_text() + f"    thor-02: {{ansible_port: {free_port()}}}\n")
    result = run(["-i", str(inventory), "smoke"])
    assert result is not None
    assert result.exit_code == Exit.PARTIAL
    assert [device["passed"] for device in result.data["devices"]] == [True, None]
    assert "1 of 2 devices passed" in str(result.view)
