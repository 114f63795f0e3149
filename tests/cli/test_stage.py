"""thorctl stage: what it shows before, what it asks of devices, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import STATUS, answers_by_verb, document
from thorctl.cli import detached
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


def plan_of(release: str, already: str = "absent") -> dict[str, Any]:
    return document("plan", {"release": release, "already": already, "download_bytes": 2_500_000_000})


def codes(result: Result) -> list[str]:
    return [problem.code for problem in result.errors]


def test_dry_run_shows_the_download_and_begins_nothing(
    call: Call, sshd: Sshd, told: Path, release: str
) -> None:
    sshd.behave(answers_by_verb(told, plan=plan_of(release)))
    result = call("stage", "thor-01", "--dry-run")
    assert result.exit_code == Exit.SUCCESS
    assert str(result.view) == f"thor-01: {release}, 2.5 GB to download"
    assert result.data["devices"][0]["already"] == "absent"
    assert not told.exists()


def test_release_is_staged(call: Call, sshd: Sshd, told: Path, release: str) -> None:
    staged = {"release": release, "downloaded_bytes": 2_500_000_000, "seconds": 61.5}
    sshd.behave(answers_by_verb(told, plan=plan_of(release), stage=document("stage", staged)))
    result = call("stage", "thor-01", "--yes")
    assert (result.exit_code, codes(result)) == (Exit.SUCCESS, [])
    assert result.data["devices"] == [{"name": "thor-01", "ok": True, **staged}]
    assert str(result.view) == f"thor-01: {release} is staged; 2.5 GB downloaded in 62 s"
    assert told.read_text() == "stage --release -\n"


def test_failure_of_a_device_is_its_error(call: Call, sshd: Sshd, told: Path, release: str) -> None:
    sshd.behave(
        answers_by_verb(told, plan=plan_of(release), stage=document("stage", {}, {"code": "disk_too_small"}))
    )
    result = call("stage", "thor-01", "--yes")
    assert (result.exit_code, codes(result)) == (Exit.ERROR, ["disk_too_small"])
    sshd.behave(answers_by_verb(told, plan=plan_of(release), stage=document("stage", {}, {"code": "leased"})))
    assert call("stage", "thor-01", "--yes").exit_code == Exit.LEASED


@pytest.mark.parametrize("verb", ["stage", "activate"])
def test_agent_that_cannot_read_the_release_is_named(call: Call, sshd: Sshd, told: Path, verb: str) -> None:
    sshd.behave(answers_by_verb(told, status=document("status", {**STATUS, "agent_layouts": [1]})))
    result = call(verb, "thor-01", "--yes")
    assert codes(result) == ["agent_too_old"]
    assert "site.yml --limit thor-01" in result.errors[0].remedy
    assert not told.exists()


@pytest.mark.parametrize("verb", ["stage", "activate"])
def test_another_device_is_left_alone(call: Call, sshd: Sshd, told: Path, verb: str) -> None:
    sshd.behave(answers_by_verb(told, status=document("status", {**STATUS, "name": "thor-02"})))
    assert codes(call(verb, "thor-01", "--yes")) == ["another_device"]
    assert not told.exists()


def test_interruption_says_that_the_device_continues(
    call: Call, sshd: Sshd, told: Path, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd.behave(answers_by_verb(told, plan=plan_of(release)))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(detached, "run_tasks", interrupted)
    result = call("stage", "thor-01", "--yes")
    assert (result.exit_code, codes(result)) == (130, ["interrupted"])
    assert "continues on thor-01" in result.errors[0].message
