"""commit: what is on trial is kept; a failed smoke is accepted with a reason, and only on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import RELEASE, STATUS, answers, document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.cli.smoke import me
from thorctl.result import Exit, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAILED = {**STATUS["last_smoke"], "passed": False, "failed_checks": ["known_answer"]}
KEPT = {**STATUS, "state": "trial", "target": RELEASE, "last_smoke": FAILED, "review_seconds_left": 7100}
WHY = "the prompt is wrong"
ACCEPTED = {"reason": WHY, "by": "ann@desk", "at": "2026-11-30T10:00:00Z"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def behave(sshd: Sshd, status: dict[str, Any], commit: dict[str, Any]) -> None:
    """A device that answers ``status`` and ``commit``, each with its own object."""
    sshd.behave(
        "import json, os, shlex, sys\n"
        f"said = {{'status': {document('status', status)!r}, 'commit': {commit!r}}}\n"
        "asked = shlex.split(os.environ['SSH_ORIGINAL_COMMAND'])\n"
        "verb = next(word for word in asked if word in said)\n"
        "print(json.dumps(said[verb]))\n"
        "sys.exit(0 if said[verb]['ok'] else 2)\n"
    )


def thorctl(sshd: Sshd, folder: Path, *words: str) -> Result:
    inventory = sshd.inventory(folder / "hosts.yml", "thor-01")
    result = run(["-i", str(inventory), "commit", "thor-01", *words])
    assert result is not None
    return result


def asked(sshd: Sshd) -> str:
    return sshd.asked.read_text()


def test_a_failed_smoke_is_accepted_with_its_reason(sshd: Sshd, tmp_path: Path) -> None:
    data = {"release": RELEASE, "state": "committed", "accepted": ACCEPTED}
    behave(sshd, KEPT, document("commit", data))
    result = thorctl(sshd, tmp_path, "--accept-failed-smoke", WHY, "--yes")
    assert result.exit_code == Exit.SUCCESS
    assert f"--holder {me()} commit {RELEASE} --accept-failed-smoke '{WHY}'" in asked(sshd)
    assert result.data["devices"] == [{"name": "thor-01", "ok": True, **data}]
    assert f"is committed, although its smoke failed: {WHY}" in str(result.view)
    history = run(["history"])
    assert history is not None
    (kept,) = history.data["accepted_smokes"]
    assert kept == {
        "device": "thor-01",
        "release": RELEASE,
        "at": ACCEPTED["at"],
        "who": "ann@desk",
        "reason": WHY,
    }
    assert WHY in str(history.view)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_a_terminal_it_needs_yes(sshd: Sshd, tmp_path: Path, options: tuple[str, ...]) -> None:
    behave(sshd, KEPT, document("commit", {"release": RELEASE, "state": "committed"}))
    result = thorctl(sshd, tmp_path, "--accept-failed-smoke", WHY, *options)
    assert (result.exit_code, result.errors[0].code) == (Exit.USAGE, "consent_missing")
    assert f" commit {RELEASE}" not in asked(sshd)


def test_a_dry_run_says_what_is_known(sshd: Sshd, tmp_path: Path) -> None:
    behave(sshd, KEPT, document("commit", {}))
    result = thorctl(sshd, tmp_path, "--dry-run")
    assert result.exit_code == Exit.SUCCESS
    words = f"thor-01: {RELEASE}, smoke failed (known_answer); kept for review, 1 h 59 min left"
    assert words in str(result.view)
    assert f" commit {RELEASE}" not in asked(sshd)


@pytest.mark.parametrize(
    "status", [STATUS, {**STATUS, "state": "empty", "release": None}, {**KEPT, "release": "other-1"}]
)
def test_what_is_not_on_trial_is_not_committed(sshd: Sshd, tmp_path: Path, status: dict[str, Any]) -> None:
    behave(sshd, status, document("commit", {}))
    result = thorctl(sshd, tmp_path, "--release", RELEASE, "--yes")
    assert (result.exit_code, result.errors[0].code) == (Exit.ERROR, "bad_state")
    assert result.errors[0].remedy
    assert f" commit {RELEASE}" not in asked(sshd)


def test_somebody_elses_lease_is_exit_code_4(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(answers("status", {}, {"code": "leased"}, 3))
    assert thorctl(sshd, tmp_path, "--yes").exit_code == Exit.LEASED
