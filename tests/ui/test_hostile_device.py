"""A device that puts escape sequences into every field, against each command that shows its answer."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect  # type: ignore[import-untyped]  # has no types
import pytest

from tests.support.doubles.answers import STATUS, answers, document, says
from tests.support.doubles.sshd import Sshd, running_sshd
from tests.ui.test_console import ATTACK
from thorctl.cli.main import run, show

if TYPE_CHECKING:
    from collections.abc import Iterator

THORCTL = str(Path(sys.executable).with_name("thorctl"))
LOG = f"{ATTACK}\nerror forged  {ATTACK}"
POISON = LOG  # half a surrogate pair is refused as a whole: tests/remote/test_agent_call.py
COLOUR = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[ABKG]|\r")  # what rich itself writes
STATUS_MORE = {
    "state": "trial",
    "deadline": "x",
    "lease": {"holder": "x", "host": "x", "reason": "x", "taken_at": "x", "expires_at": "x"},
    "hold": {"reason": "x", "since": "x"},
    "progress": {"verb": "x", "phase": "x", "message": "x"},
    "compared": [{"what": "x", "scope": "release", "wanted": "x", "found": ["x"], "same": False}],
    "drift": [{"what": "x", "wanted": ["x"], "found": "x", "same": None}],
}
GENERATION = {
    "prompt_name": "x", "prompt": "x", "thinking": "x", "answer": "x", "tokens": 1, "seconds": 1.0,
    "finish_reason": "x", "failed_checks": [{"check": "x", "detail": "x"}],
}  # fmt: skip
SMOKE = {"release": "x", "passed": False, "generations": [GENERATION], "checks": {}, "seconds": 1.0}
ERROR = {"code": "x", "message": "x", "remedy": "x", "details": {"a": "x"}}


def poisoned(value: Any) -> Any:
    """``value`` with the attack in the place of every text."""
    if isinstance(value, str):
        return POISON
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return [poisoned(item) for item in value] if isinstance(value, list) else value


def failing(verb: str, data: dict[str, Any]) -> str:
    return answers(verb, poisoned(data), poisoned(ERROR), 1)


STATUS_SAYS = says(json.dumps(document("status", poisoned(STATUS | STATUS_MORE))))
LEASE = poisoned({"lease": STATUS_MORE["lease"]})
HALF_STATUS = {**poisoned(STATUS | STATUS_MORE), "engine": STATUS["engine"], "state": "committed"}
COMMANDS: dict[str, tuple[list[str], str]] = {
    "status": (["status"], STATUS_SAYS),
    "status of a ready engine": (["status"], says(json.dumps(document("status", HALF_STATUS)))),
    "status --drift": (["status", "--drift"], STATUS_SAYS),
    "status that failed": (["status"], failing("status", STATUS)),
    "status that is no object": (["status"], says(LOG, 1, LOG)),
    "smoke": (["smoke"], failing("smoke", SMOKE)),
    "lease show": (["lease", "show"], says(json.dumps(document("lease", LEASE)))),
    "rollback": (["rollback", "thor-01", "--yes"], failing("rollback", {})),
    "logs": (["logs", "thor-01"], says(LOG)),
    "logs that fail": (["logs", "thor-01"], says("", 1, LOG)),
    "chat": (["chat", "thor-01", "hello"], failing("status", STATUS)),
}  # fmt: skip


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def inventory(sshd: Sshd, tmp_path: Path) -> str:
    variables = {"thor_profile": "tiny-qwable", "thor_device_class": "simulated-container"}
    return str(sshd.inventory(tmp_path / "hosts.yml", "thor-01", **variables))


def assert_harmless(text: str) -> None:
    assert "owned" in text  # the attack arrived
    assert text.replace("\n", "").replace("\t", "").isprintable(), text


def assert_nothing_forged(text: str) -> None:
    assert not any(line.startswith("error forged") for line in text.splitlines()), text


def thorctl(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What one command line prints, on both streams."""
    if result := run(list(words)):
        show(result, "--json" in words)
    return "".join(capsys.readouterr())


@pytest.mark.parametrize(("words", "program"), COMMANDS.values(), ids=COMMANDS.keys())
def test_no_field_of_an_answer_steers_the_terminal(
    sshd: Sshd, inventory: str, capsys: pytest.CaptureFixture[str], words: list[str], program: str
) -> None:
    sshd.behave(program)
    said = thorctl(capsys, "-i", inventory, *words)
    assert_harmless(said)
    if words[0] != "logs":  # each line of a log is a line
        assert_nothing_forged(said)


@pytest.mark.parametrize("words", [["status"], ["status", "--drift"]])
def test_json_holds_escapes_only(
    sshd: Sshd, inventory: str, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    sshd.behave(STATUS_SAYS)
    said = thorctl(capsys, "--quiet", "-i", inventory, *words, "--json")
    assert_harmless(said)
    assert json.loads(said)["data"]["devices"][0]["release"] == POISON


def test_a_terminal_gets_colours_and_nothing_else(sshd: Sshd, inventory: str) -> None:
    sshd.behave(STATUS_SAYS)
    told, _ = pexpect.run(
        f"{THORCTL} -i {inventory} status", withexitstatus=True, encoding="utf-8", env=None, timeout=60
    )
    assert_harmless(COLOUR.sub("", told))
    assert_nothing_forged(COLOUR.sub("", told))
