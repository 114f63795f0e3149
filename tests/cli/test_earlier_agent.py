"""The command line with the agent of the release before: each verb takes what that agent answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.earlier import BEFORE_CONTRACT
from tests.support.doubles.answers import says
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.result import Exit, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Answers with the recorded object of the verb that it is asked, and as the agent did to a verb that it lacks.
_AGENT = """
import json, os, pathlib, sys
names = {names!r}
words = os.environ["SSH_ORIGINAL_COMMAND"].split()
name = next((names[word] for word in words if word in names), "bad-call")
name = "detach" if "--detach" in words else name
text = pathlib.Path({folder!r}, f"answer-{{name}}.json").read_text(encoding="utf-8")
sys.stdout.write(text)
sys.exit(0 if json.loads(text)["ok"] else 1)
"""


@dataclass(frozen=True)
class Earlier:
    """One device with the earlier agent, and this thorctl."""

    sshd: Sshd
    inventory: Path

    def thorctl(self, *words: str, **answers: str) -> Result:
        """``thorctl WORDS``, where the agent answers a verb with the recorded answer of that name."""
        folder = str(BEFORE_CONTRACT.folder)
        self.sshd.behave(_AGENT.format(folder=folder, names={"status": "status-trial", **answers}))
        result = run(["-i", str(self.inventory), *words])
        assert result is not None
        return result


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    folder = tmp_path_factory.mktemp("sshd")
    with running_sshd(folder) as sshd:
        yield Earlier(sshd, sshd.inventory(folder / "hosts.yml", "thor-01"))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("empty", "empty"),
        ("committed-first", "committed"),
        ("committed-over-previous", "committed"),
        ("leased", "leased by ann@desk"),
        ("activating", "activating"),
        ("trial", "on trial"),
        ("soaking", "on trial"),
        ("rolling-back", "rolling-back"),
        ("rolled-back", "committed"),
        ("review", "kept for review"),
        ("committed-accepted", "accepted"),
    ],
)
def test_status(device: Earlier, state: str, words: str) -> None:
    result = device.thorctl("status", status=f"status-{state}")
    assert (result.exit_code, result.errors) == (Exit.SUCCESS, ())
    (row,) = result.data["devices"]
    recorded = BEFORE_CONTRACT.answer(f"status-{state}")["data"]
    same = ("state", "release", "deadline", "agent_version")
    assert {key: row[key] for key in same} == {key: recorded[key] for key in same}
    assert words in str(result.view)


@pytest.mark.parametrize(
    ("words", "verb", "answer"),
    [
        (("lease", "show"), "lease", "lease-show"),
        (("lease", "take", "thor-01", "--reason", "antenna"), "lease", "lease-take"),
        (("lease", "give", "thor-01", "--yes"), "lease", "lease-give"),
        (("hold", "show"), "hold", "hold-show"),
        (("hold", "set", "thor-01", "--reason", "on patrol", "--yes"), "hold", "hold-set"),
        (("hold", "release", "thor-01", "--yes"), "hold", "hold-clear"),
        (("commit", "thor-01", "--yes"), "commit", "commit"),
        (("rollback", "thor-01", "--yes"), "rollback", "rollback"),
        (("smoke", "thor-01"), "smoke", "smoke"),
    ],
)
def test_verb(device: Earlier, words: tuple[str, ...], verb: str, answer: str) -> None:
    result = device.thorctl(*words, **{verb: answer})
    assert (result.exit_code, result.errors) == (Exit.SUCCESS, ())


@pytest.mark.parametrize(
    ("words", "verb", "answer", "code"),
    [
        (("lease", "take", "thor-01", "--reason", "x"), "lease", "activate-leased", "leased"),
        (("commit", "thor-01", "--yes"), "commit", "busy", "busy"),
        (("rollback", "thor-01", "--yes"), "rollback", "rollback-nothing", "nothing_to_roll_back"),
        (("smoke", "thor-01"), "smoke", "smoke-failed", "smoke_failed"),
    ],
)
def test_refusal(device: Earlier, words: tuple[str, ...], verb: str, answer: str, code: str) -> None:
    result = device.thorctl(*words, **{verb: answer})
    (error,) = result.errors
    assert error.code == code
    assert error.remedy


def test_events_are_shown_in_words(device: Earlier, capsys: pytest.CaptureFixture[str]) -> None:
    events = BEFORE_CONTRACT.text("events.jsonl")
    device.sshd.behave(says(events))
    assert run(["-i", str(device.inventory), "logs", "thor-01", "--events"]) is None
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(events.splitlines())
    assert not [line for line in shown if line.startswith("{")]
