"""thorctl activate: what it shows before, what it asks of devices, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import answers_by_verb, document
from thorctl.result import Exit, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.doubles.sshd import Sshd

    Call = Callable[..., Result]

pytestmark = pytest.mark.slow


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


def plan_of(release: str, already: str) -> dict[str, Any]:
    return document("plan", {"release": release, "already": already, "download_bytes": 0})


def test_release_that_is_not_staged_is_not_activated(
    call: Call, sshd: Sshd, told: Path, release: str
) -> None:
    sshd.behave(answers_by_verb(told, plan=plan_of(release, "absent")))
    result = call("activate", "thor-01", "--yes")
    assert [error.code for error in result.errors] == ["not_staged"]
    assert f"thorctl stage thor-01 --release {release}" in result.errors[0].remedy
    assert not told.exists()


def test_release_is_activated_on_trial(call: Call, sshd: Sshd, told: Path, release: str) -> None:
    trial = {"release": release, "state": "trial", "deadline": "2026-11-30T20:00:00Z", "previous": None}
    sshd.behave(answers_by_verb(told, plan=plan_of(release, "staged"), activate=document("activate", trial)))
    shown = call("activate", "thor-01", "--dry-run", "--trial", "60")
    assert str(shown.view) == f"thor-01: to {release}, on trial for 60 s"
    result = call("activate", "thor-01", "--trial", "60", "--yes")
    assert result.exit_code == Exit.SUCCESS
    assert f"{release} is on trial until 2026-11-30T20:00:00Z" in str(result.view)
    assert "then thorctl commit thor-01" in str(result.view)
    assert told.read_text() == f"activate {release} --deadline=60\n"
