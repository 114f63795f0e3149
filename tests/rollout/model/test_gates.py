"""The gate: a table of what was found and what follows, for devices, waves and the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollout.policies import policy
from thorctl.protocol.smoke import SmokeReport
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.remote.earlier import read
from thorctl.rollout.model.gates import (
    Action,
    Count,
    judge_fleet,
    judge_health,
    judge_smoke,
    judge_speed,
    judge_wave,
)
from thorctl.rollout.model.rules import Ended
from thorctl.rollout.model.waves import PlannedWave
from thorctl.rollout.policy import Speed

NEW = "m-bbbbbbbbbbbb"
GO, WAIT, STOP, BACK = Action.CONTINUE, Action.WAIT, Action.STOP, Action.STOP_AND_RETURN


def wave(number: int = 2, success: float = 100) -> PlannedWave:
    return PlannedWave(number, "rest", (), 60, success, approval=False)


@dataclass(frozen=True)
class Case:
    what: str
    policy: dict[str, Any]
    here: Count
    fleet: Count
    success: float
    action: Action
    words: str


WAVES = [
    Case("all well", {}, Count(well=3), Count(well=3, still=6), 100, GO, "3 of 3"),
    Case("some not decided", {}, Count(well=2, still=1), Count(well=2, still=7), 100, WAIT, "1 device"),
    Case(
        "an absent one does not count",
        {},
        Count(well=2, absent=1),
        Count(well=2, absent=1),
        100,
        GO,
        "1 absent",
    ),
    Case("all absent, not the canary", {}, Count(absent=3), Count(well=1, absent=3), 100, GO, "3 absent"),
    Case(
        "one that could not take it says nothing of the release",
        {},
        Count(well=7, failed=1, unfit=1),
        Count(well=11, failed=1, unfit=1),
        90,
        GO,
        "7 of 7 devices of wave 2 are healthy, 1 cannot run it",
    ),
    Case(
        "beside one that tried it and failed",
        {},
        Count(well=7, failed=2, unfit=1),
        Count(well=10, failed=2, unfit=1),
        90,
        STOP,
        "1 of 8 devices of wave 2 failed",
    ),
    Case(
        "too many that cannot take it",
        {},
        Count(well=4, failed=4, unfit=4),
        Count(well=8, failed=4, unfit=4),
        50,
        STOP,
        "4 devices failed",
    ),
    Case(
        "one failed of 100 % asked", {}, Count(well=2, failed=1), Count(well=2, failed=1), 100, STOP, "100 %"
    ),
    Case("one failed of 60 % asked", {}, Count(well=2, failed=1), Count(well=2, failed=1), 60, GO, "2 of 3"),
    Case(
        "exactly the threshold",
        {},
        Count(well=1, failed=1),
        Count(well=1, failed=1, still=5),
        50,
        GO,
        "1 of 2",
    ),
    Case(
        "certain before the end",
        {},
        Count(failed=1, still=9),
        Count(failed=1, still=20),
        100,
        STOP,
        "1 of 10",
    ),
    Case("not certain yet", {}, Count(failed=1, still=9), Count(failed=1, still=20), 90, WAIT, "9 devices"),
    Case(
        "absent ones cannot save it",
        {},
        Count(failed=1, absent=9),
        Count(failed=1, absent=9),
        50,
        STOP,
        "1 of 1",
    ),
    Case(
        "the cap",
        {"errors": {"stop_at_devices": 2}},
        Count(well=8, failed=1),
        Count(well=8, failed=2),
        50,
        STOP,
        "stops at 2",
    ),
    Case(
        "the percent",
        {"errors": {"stop_at_percent": 20}},
        Count(well=8, failed=1),
        Count(well=8, failed=2),
        50,
        STOP,
        "20 %",
    ),
    Case(
        "below the percent",
        {"errors": {"stop_at_percent": 21}},
        Count(well=8, failed=2),
        Count(well=8, failed=2),
        50,
        GO,
        "8 of 10",
    ),
    Case(
        "a stop that returns",
        {"on_stop": "return"},
        Count(failed=1),
        Count(failed=1, well=9),
        100,
        BACK,
        "1 of 1",
    ),
    Case(
        "over the offline budget",
        {"offline": {"budget_devices": 1}},
        Count(well=1),
        Count(well=1, absent=2),
        100,
        WAIT,
        "at most 1",
    ),
    Case(
        "within the offline budget",
        {"offline": {"budget_devices": 2}},
        Count(well=1),
        Count(well=1, absent=2),
        100,
        GO,
        "1 of 1",
    ),
    Case(
        "over it in percent",
        {"offline": {"budget_percent": 50}},
        Count(well=1),
        Count(well=1, absent=2),
        100,
        WAIT,
        "50 %",
    ),
    Case(
        "no absence allowed",
        {"offline": {"budget_devices": 0}},
        Count(well=3, absent=1),
        Count(well=3, absent=1),
        100,
        WAIT,
        "at most 0",
    ),
    Case(
        "failures outweigh absences",
        {"offline": {"budget_devices": 0}},
        Count(failed=1, absent=1),
        Count(failed=1, absent=1),
        100,
        STOP,
        "1 of 1",
    ),
]


@pytest.mark.parametrize("case", WAVES, ids=[case.what for case in WAVES])
def test_waves(case: Case) -> None:
    one = policy(**case.policy)
    decision = judge_wave(one, wave(success=case.success), case.here, case.fleet, canary=False)
    assert decision.action is case.action
    assert case.words in decision.reason


def test_a_canary_that_cannot_even_take_it_stops_it() -> None:
    here, fleet = Count(failed=1, unfit=1), Count(failed=1, unfit=1, still=11)
    decision = judge_wave(policy(), wave(1), here, fleet, canary=True)
    assert (decision.action, decision.reason[:34]) == (STOP, "1 of 1 device of the canary failed")


def test_an_absent_canary_proves_nothing() -> None:
    decision = judge_wave(policy(), wave(1), Count(absent=2), Count(absent=2, still=8), canary=True)
    assert (decision.action, decision.reason) == (
        WAIT,
        "no canary device was updated, all are absent",
    )
    one = judge_wave(
        policy(), wave(1), Count(well=1, absent=1), Count(well=1, absent=1, still=8), canary=True
    )
    assert one.action is GO


@given(
    well=st.integers(0, 50), failed=st.integers(0, 50), absent=st.integers(0, 50), still=st.integers(0, 50)
)
def test_more_failures_never_open_a_wave(well: int, failed: int, absent: int, still: int) -> None:
    one = policy(errors={"stop_at_percent": 30, "stop_at_devices": 10})
    order = [GO, WAIT, STOP]

    def rank(count: Count) -> int:
        return order.index(judge_wave(one, wave(success=80), count, count, canary=False).action)

    here = Count(well, failed, absent, still)
    assert rank(here) <= rank(Count(well, failed + 1, absent, still))
    if judge_fleet(one, here) is None:
        assert failed < 10


SPEEDS: list[tuple[str, Speed | None, float | None, float | None, bool, bool, str]] = [
    ("as fast", Speed(), 40.0, 40.0, True, True, "40.0 tok/s against 40.0"),
    ("faster", Speed(), 40.0, 80.0, True, True, "80.0"),
    ("just within", Speed(tolerance_percent=10), 40.0, 36.0, True, True, "36.0"),
    ("too slow", Speed(tolerance_percent=10), 40.0, 35.9, True, False, "at least 36.0"),
    ("no tolerance", Speed(tolerance_percent=0), 40.0, 39.9, True, False, "too slow"),
    ("unknown now", Speed(), 40.0, None, True, False, "unknown"),
    ("nothing", Speed(), 40.0, 0, True, False, "unknown"),
    ("no baseline", Speed(), None, 40.0, True, False, "previous release is unknown"),
    ("no baseline, accepted", Speed(without_baseline="accept"), None, 40.0, True, True, "accepts"),
    ("the first release", Speed(), None, 40.0, False, True, "there is no previous release"),
    ("not judged", None, 40.0, None, True, True, "does not check"),
]


@pytest.mark.parametrize("case", SPEEDS, ids=[row[0] for row in SPEEDS])
def test_speed(case: tuple[str, Speed | None, float | None, float | None, bool, bool, str]) -> None:
    _, speed, before, now, had_release, good, words = case
    verdict = judge_speed(speed, before, now, had_release)
    assert verdict.good is good
    assert words in verdict.reason


def engine(**changes: Any) -> dict[str, Any]:
    return {"unit": "active", "ready": True, "restarts": 0, **changes}


HEALTH: list[tuple[str, dict[str, Any], int | None, bool, str]] = [
    ("well", {}, 0, True, "ready"),
    ("well, first look", {"engine": engine(restarts=1)}, None, True, "ready"),
    ("restarted before the soak only", {"engine": engine(restarts=1)}, 1, True, "ready"),
    ("died and came back", {"engine": engine(restarts=2)}, 0, False, "restarted 2 times"),
    ("not ready", {"engine": engine(ready=False)}, 0, False, "not ready"),
    ("readiness unknown", {"engine": engine(ready=None)}, 0, False, "not ready"),
    ("unit failed", {"engine": engine(unit="failed")}, 0, False, "unit failed"),
    ("unit unknown", {"engine": engine(unit=None)}, 0, False, "unit unknown"),
    ("restarts unknown", {"engine": engine(restarts=None)}, 0, False, "unknown"),
    ("no engine", {"engine": {}}, 0, False, "unknown"),
    ("rolled back by itself", {"state": "committed", "release": "m-aaaaaaaaaaaa"}, 0, False, "no longer"),
    ("another release", {"release": "m-cccccccccccc"}, 0, False, "no longer"),
    ("state unknown", {"state": None}, 0, False, "state unknown"),
]


@pytest.mark.parametrize(("what", "changes", "restarts", "good", "words"), HEALTH, ids=[r[0] for r in HEALTH])
def test_health(what: str, changes: dict[str, Any], restarts: int | None, good: bool, words: str) -> None:
    status = {"state": "trial", "release": NEW, "engine": engine(), **changes}
    verdict = judge_health(read(Status, status), NEW, restarts)
    assert verdict.good is good
    assert words in verdict.reason


def test_nothing_at_all_is_not_well() -> None:
    assert not judge_health(UNKNOWN, NEW, None).good
    assert not judge_smoke(None, NEW).good


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ({"release": NEW, "passed": True}, True),
        ({"release": NEW, "passed": False}, False),
        ({"release": NEW, "passed": None}, False),
        ({"release": NEW, "passed": "yes"}, False),
        ({"release": "m-aaaaaaaaaaaa", "passed": True}, False),
        ({"passed": True}, False),
    ],
)
def test_smoke(data: dict[str, Any], good: bool) -> None:
    assert judge_smoke(Ended(0.0, True, data=data).told(SmokeReport), NEW).good is good
