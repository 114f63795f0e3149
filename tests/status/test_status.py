"""status: what is said of a device, and the verdict over a fleet."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tests.support.doubles.answers import RELEASE, STATUS, answers, document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.inventory.devices import Device
from thorctl.release.convergence import Desired
from thorctl.release.document import LAYOUT
from thorctl.remote.answer import Answer, read_answer
from thorctl.result import Exit, Problem
from thorctl.sim.ports import free_port
from thorctl.status.model import Row, attention, remarks, row, rows, verdict
from thorctl.status.view import COLUMNS, StatusView, fitting
from thorctl.ui.format import age, celsius, data_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DESIRED = Desired(RELEASE, None, LAYOUT)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DEVICE = Device("thor-01", "10.0.0.1", site="lab")
PROMISED = {"name", "site", "reachable", "state", "release", "engine", "model", "l4t", "power_mode"}
PROMISED |= {"memory_available_bytes", "disk_free_bytes", "last_smoke"}


def said(wanted: str | None = RELEASE, **changes: Any) -> Row:
    desired = Desired(wanted, None, LAYOUT) if wanted else None
    text = json.dumps(document("status", STATUS | changes))
    return row(DEVICE, read_answer("thor-01", "status", 0, text, ""), desired)


def failed(code: str, *, reached: bool = False) -> Row:
    problem = Problem(code, "it does not answer", "look", "thor-01")
    return row(DEVICE, Answer("thor-01", error=problem, reached=reached), DESIRED)


def drawn(fleet: list[Row], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(StatusView(fleet, NOW))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("state", ["activating", "rolling-back"])
def test_what_is_being_replaced_is_not_judged(state: str) -> None:
    """The unit on the disk is one release's already, the journal's release still another."""
    hashes = {"wanted": "sha256:" + "a" * 64, "found": "sha256:" + "b" * 64}
    unit = {"what": "installed unit", **hashes, "same": False}
    changes: dict[str, Any] = {"last_smoke": None, "drift": [unit], "compared": [unit]}
    assert "installed unit was changed" in attention(said(**changes))
    assert attention(said(state=state, **changes)) == (state,)


def test_a_device_that_is_well_needs_nobody() -> None:
    assert attention(said()) == ()
    assert remarks(said()) == ()
    assert said().serves_wanted is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"state": "empty", "release": None, "engine": {"unit": "inactive"}, "last_smoke": None},
            "no release",
        ),
        ({"state": "trial", "deadline": "2026-11-23T12:30:00Z"}, "on trial until 12:30:00Z"),
        ({"state": "rolling-back"}, "rolling-back"),
        ({"state": None}, "state unknown"),
        ({"engine": {"unit": "active", "ready": False}}, "engine starting"),
        ({"engine": {"unit": "failed", "ready": False}}, "engine failed"),
        ({"engine": {"unit": None, "ready": None}}, "engine unknown"),
        # Another process may answer on the port while the unit is down: that is not our engine.
        ({"engine": {"unit": "failed", "ready": True}}, "engine failed"),
        ({"release": "old-0123456789ab"}, f"desired is {RELEASE}"),
        ({"last_smoke": None}, "no smoke test yet"),
        ({"last_smoke": {"release": RELEASE, "passed": False, "at": None}}, "smoke test failed"),
        ({"last_smoke": {"release": "old-0123456789ab", "passed": True}}, "no smoke test yet"),
        (
            {"drift": [{"what": "power mode", "wanted": "120W", "found": "70W"}]},
            "power mode is 70W, not 120W",
        ),
    ],
)
def test_what_needs_attention_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in "; ".join(attention(said(**changes)))


TRIAL = {"state": "trial", "deadline": "2026-11-23T12:30:00Z"}
BY_ROLLOUT = TRIAL | {"activated_by": "ann@desk (rollout 20261130-1 50b80279)"}


@pytest.mark.parametrize(
    ("changes", "at_work", "commands"),
    [
        (BY_ROLLOUT, False, ["thorctl rollout resume 20261130-1", "thorctl rollout abort 20261130-1"]),
        (BY_ROLLOUT, True, []),
        (TRIAL | {"activated_by": "ann@desk"}, False, ["thorctl commit thor-01", "thorctl rollback thor-01"]),
        (
            TRIAL | {"activated_by": "ann@desk", "review_seconds_left": 60},
            False,
            ["thorctl commit thor-01 --accept-failed-smoke REASON", "thorctl rollback thor-01"],
        ),
    ],
)
def test_trial_names_the_commands_that_end_it(
    changes: dict[str, Any], at_work: bool, commands: list[str]
) -> None:
    words = "; ".join(attention(replace(said(**changes), at_work=at_work)))
    assert re.findall(r"`([^`]+)`", words) == commands


def test_what_goes_on_without_being_wrong() -> None:
    busy = said(
        lease={"holder": "anna@ops", "reason": "new tokenizer"},
        hold={"reason": "on patrol"},
        progress={"verb": "stage", "phase": "checkpoint", "done_bytes": 45, "total_bytes": 100},
    )
    assert remarks(busy) == (
        "stage: checkpoint 45 %",
        "leased by anna@ops (new tokenizer)",
        "on hold: on patrol",
    )


def test_a_rollout_is_named_once_in_its_lease() -> None:
    lease = {"holder": "anna@ops (rollout 20261130-1 50b80279)", "reason": "rollout 20261130-1 (50b80279)"}
    assert remarks(said(lease=lease)) == ("leased by anna@ops (rollout 20261130-1)",)


def test_unknown_is_null_and_a_dash_never_zero() -> None:
    unknown = row(DEVICE, Answer("thor-01", document("status", {})), None)
    json_of = unknown.as_json()
    assert json_of["memory_available_bytes"] is None
    assert json_of["engine"] is None
    assert (data_size(None), celsius(None), age(None, NOW)) == ("–", "–", "–")
    assert " 0" not in drawn([unknown], 200).splitlines()[1]


@pytest.mark.parametrize(
    "changes", [{"memory_available_bytes": "much"}, {"engine": "ready"}, {"drift": [{}]}, {"state": 5}]
)
def test_a_report_of_the_wrong_shape_is_not_believed(changes: dict[str, Any]) -> None:
    strange = said(**changes)
    assert strange.error is not None
    assert strange.error.code == "agent_garbage"
    assert next(iter(changes)) in strange.error.message
    assert (strange.report.release, strange.serves_wanted) == (None, False)


def test_a_corrupt_journal_still_shows_the_rest() -> None:
    problem = Problem("journal_corrupt", "m", "r", "thor-01")
    answer = Answer(
        "thor-01", document("status", STATUS | {"state": None}, {"code": "journal_corrupt"}), problem
    )
    corrupt = row(DEVICE, answer, DESIRED)
    assert attention(corrupt) == ("journal corrupt",)
    assert corrupt.report.power_mode == "120W"


def test_json_says_at_least_what_the_contract_promises() -> None:
    assert set(said().as_json()) >= PROMISED
    assert set(said().as_json()) == set(failed("device_unreachable").as_json())
    assert said().as_json()["engine"] == "ready"
    assert failed("device_unreachable").as_json()["reachable"] is False
    json.dumps(said().as_json())


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        ([said()], "1 of 1 device serves the desired release."),
        ([said(), said()], "2 of 2 devices serve the desired release."),
        ([said(), failed("auth_failed")], "1 of 2 devices serve the desired release; 1 needs attention."),
        ([said(), said(wanted=None)], "1 of 2 devices serve the desired release (unknown for 1)."),
        ([said(wanted=None)], "1 of 1 device serves a model (the desired release is unknown here)."),
    ],
)
def test_the_verdict(fleet: list[Row], words: str) -> None:
    assert verdict(fleet) == words


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 300])
def test_the_table_fits_its_terminal_and_hides_no_device(width: int) -> None:
    text = drawn([said(), failed("device_unreachable"), failed("agent_missing", reached=True)], width)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("thor-01") >= 3
    if width >= 80:
        assert all(word in text for word in (RELEASE, "committed", "ready", "unreachable", "no agent"))


def test_columns_go_by_rank_and_the_missing_ones_are_named() -> None:
    assert fitting([10, 10, 10], [0, 2, 1], 100) == [0, 1, 2]
    assert fitting([10, 10, 10], [0, 2, 1], 30) == [0, 2]
    assert fitting([10, 10, 10], [0, 0, 0], 5) == [0, 1, 2]
    assert "Not shown because of the width: " in drawn([said()], 80)
    assert "Not shown" not in drawn([said()], 300)
    assert all(column.title in drawn([said()], 300) for column in COLUMNS)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-11-23T11:59:30Z", "just now"),
        ("2026-11-23T12:00:30Z", "just now"),
        ("2026-11-23T11:56:00Z", "4 min ago"),
        ("2026-11-23T13:00:00+02:00", "1 h ago"),
        ("2026-11-20T12:00:00", "3 d ago"),
        ("soon", "soon"),
    ],
)
def test_ages(time: str, words: str) -> None:
    assert age(time, NOW) == words


def test_answers_belong_to_devices() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rows([DEVICE], [], {})


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        server.behave(answers("status", STATUS))
        yield server


def test_the_verb_from_inventory_to_json(sshd: Sshd, tmp_path: Path) -> None:
    result = run(["-i", str(sshd.inventory(tmp_path / "hosts.yml", "thor-01", "thor-02")), "status"])
    assert result is not None
    assert (result.exit_code, result.errors) == (Exit.SUCCESS, ())
    assert [device["name"] for device in result.data["devices"]] == ["thor-01", "thor-02"]
    assert isinstance(result.view, str)  # not a terminal: plain, every column
    assert all(column.title in result.view for column in COLUMNS)


def test_one_unreachable_device_is_shown_and_makes_it_partial(sshd: Sshd, tmp_path: Path) -> None:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    inventory.write_text(inventory.read_text() + f"    thor-02: {{ansible_port: {free_port()}}}\n")
    result = run(["-i", str(inventory), "status"])
    assert result is not None
    assert result.exit_code == Exit.PARTIAL
    assert [device["reachable"] for device in result.data["devices"]] == [True, False]
    assert [problem.device for problem in result.errors] == ["thor-02"]
    assert "unreachable" in str(result.view)
    only = run(["-i", str(inventory), "status", "thor-02"])
    assert only is not None
    assert only.exit_code == Exit.ERROR


def test_a_device_where_the_seconds_belong(tmp_path: Path) -> None:
    result = run(["status", "--watch", "thor-01"])
    assert result is not None
    assert result.exit_code == Exit.USAGE
    assert "before --watch" in result.errors[0].message


def test_restarts_and_a_cold_start_are_told() -> None:
    engine: dict[str, Any] = {"unit": "active", "ready": False, "restarts": 3, "cold_start_seconds": 3600.0}
    engine["last_end"] = {"result": "exit-code", "code": "exited", "status": "137"}
    told = said(engine=engine)
    assert "engine starting (cold start, up to 60 min)" in attention(told)
    assert remarks(told) == ("engine restarted 3 times, last after exited 137",)


FAILED_SMOKE = {**STATUS["last_smoke"], "passed": False, "failed_checks": ["known_answer", "tool_call"]}


def test_a_trial_kept_for_review_says_so_and_how_it_ends() -> None:
    kept = said(state="trial", review_seconds_left=7141, last_smoke=FAILED_SMOKE)
    first, *others = attention(kept)
    assert first.startswith("kept for review, 2 h 0 min left: end it with `thorctl commit thor-01 --accept")
    assert "last smoke test failed (known_answer, tool_call)" in others
    assert kept.as_json()["review_seconds_left"] == 7141


def test_a_failed_smoke_that_was_accepted_is_a_remark() -> None:
    accepted = {**FAILED_SMOKE, "accepted": {"reason": "a wrong prompt", "by": "ann@desk", "at": "x"}}
    assert attention(said(last_smoke=accepted)) == ()
    assert remarks(said(last_smoke=accepted)) == (
        "its smoke failed and was accepted by ann@desk: a wrong prompt",
    )
