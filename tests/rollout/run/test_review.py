"""A first release that fails its smoke test in a rollout: kept for review where the inventory says so."""

from __future__ import annotations

from typing import Any

from tests.rollout.cases import Case, error, ok
from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NEW, OLD
from thorctl.result import Exit
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.views import summary

DAY = 86400
FIRST = {"phase": Phase.TRIAL, "had_release": False}
KEEP: dict[str, Any] = {"review_seconds": DAY}


def fleet_of(*natures: str, **changes: Any) -> Fleet:
    return Fleet.of(*natures, errors={"stop_at_percent": 90}, **changes)


def accept(fleet: Fleet, number: int) -> None:
    """``thorctl commit DEVICE --accept-failed-smoke REASON``."""
    device = fleet[number]
    device.current, device.target, device.deadline = device.target, None, None
    device.moved("committed")


def kept() -> Fleet:
    """A rollout whose canary's first release failed its smoke test."""
    fleet = fleet_of("first_fails", "well", review_seconds=DAY)
    assert fleet.run() == "stopped"
    return fleet


def test_a_canary_kept_for_review_stops_the_rollout_and_says_what_to_type() -> None:
    fleet = kept()
    assert fleet.phases() == ["kept for review", "staged"]
    assert fleet.serving() == ["trial", OLD]
    assert fleet[1].review
    assert fleet[1].lease is None
    (problem,) = summary.problems(fleet.state)
    assert (problem.code, problem.device) == ("device_kept_for_review", "thor-01")
    assert "smoke_failed: babbles; kept for review until tomorrow" in problem.message
    for command in ("chat thor-01", "commit thor-01 --accept-failed-smoke REASON", "rollback thor-01"):
        assert f"`thorctl {command}`" in problem.remedy
    assert summary.exit_code(fleet.state) == Exit.ERROR
    assert fleet.state.count().failed == 1


def test_without_the_setting_it_goes_back_to_nothing() -> None:
    fleet = fleet_of("first_fails", "well")
    assert fleet.run() == "stopped"
    assert fleet.phases() == ["failed", "staged"]
    assert fleet.serving() == ["empty", OLD]


def test_a_release_that_follows_another_is_rolled_back_whatever_the_setting() -> None:
    fleet = fleet_of("smoke_fails", "well", review_seconds=DAY)
    fleet.run()
    assert fleet.phases() == ["failed", "staged"]
    assert fleet.serving() == [OLD, OLD]


def test_a_later_wave_goes_on_where_the_policy_tolerates_it() -> None:
    fleet = fleet_of("well", "well", "first_fails", "well", review_seconds=DAY, success_percent=50)
    assert fleet.run() == "finished"
    assert fleet.phases() == ["updated", "updated", "kept for review", "updated"]
    assert summary.exit_code(fleet.state) == Exit.PARTIAL


def test_an_accepted_release_is_seen_by_resume_and_never_recalled() -> None:
    fleet = kept()
    accept(fleet, 1)
    fleet.record.order(fleet.world, "aborted", returns=True)
    fleet.run()
    assert fleet.phases() == ["updated", "staged"]
    assert fleet.serving() == [NEW, OLD]
    assert "accepted by an operator" in fleet.state.devices["thor-01"].why


def test_a_review_that_ended_is_a_failure_for_resume() -> None:
    fleet = kept()
    fleet.world.pass_time(DAY)
    fleet.run()
    assert fleet.phases() == ["failed", "staged"]
    assert "its review ended; it serves nothing" in fleet.state.devices["thor-01"].why


def test_an_abort_leaves_a_review_to_the_person() -> None:
    fleet = kept()
    fleet.record.order(fleet.world, "aborted", returns=True)
    fleet.run()
    assert fleet.phases() == ["kept for review", "staged"]
    assert fleet[1].review


def test_a_controller_that_dies_while_it_keeps_a_device_is_taken_over() -> None:
    """At every moment of it."""
    for at in range(1, 200):
        fleet = fleet_of("first_fails", "well", review_seconds=DAY)
        whole = fleet.run(blow_at=at) is not None
        if not whole:
            assert fleet.run() == "stopped"
        assert fleet.phases() == ["kept for review", "staged"], at
        assert fleet[1].review
        if whole:
            return
    raise AssertionError("no run reached its end")


def test_another_rollout_names_both_ends_of_the_review() -> None:
    status = {
        "state": "trial",
        "release": NEW,
        "target": NEW,
        "activated_by": "ann@desk/rollout 20261124-1 x",
        "review_seconds_left": 7000,
    }
    found = "kept for review: `thorctl commit thor-01 --accept-failed-smoke REASON` keeps"
    Case("look", {"phase": Phase.NEW}, "look", ok(status), Phase.ABSENT, found).check()


def test_after_review_ended() -> None:
    for case in (
        Case("smoke", FIRST, "smoke", error("smoke_failed"), Phase.REVIEW_REQUESTED, "", KEEP),
        Case("engine died", FIRST, "smoke", error("engine_died"), Phase.ROLLING_BACK, "", KEEP),
        Case(
            "stopped",
            FIRST,
            "smoke",
            error("smoke_failed"),
            Phase.ROLLING_BACK,
            "",
            {**KEEP, "stopped": True},
        ),
        Case(
            "kept",
            {"phase": Phase.REVIEW_REQUESTED},
            "review",
            ok({"state": "trial", "release": NEW}),
            Phase.IN_REVIEW,
        ),
        Case(
            "odd",
            {"phase": Phase.REVIEW_REQUESTED},
            "review",
            ok({"state": "trial", "release": OLD}),
            Phase.UNKNOWN,
        ),
        Case("silent", {"phase": Phase.REVIEW_REQUESTED}, "review", error("agent_timeout"), Phase.UNKNOWN),
        Case(
            "refused",
            {"phase": Phase.REVIEW_REQUESTED, "why": "babbles"},
            "review",
            error("bad_call"),
            Phase.ROLLING_BACK,
            "babbles; it could not be kept for review",
        ),
    ):
        case.check()
