"""The work of a soak in a rollout: who is worked, for how long, and what the device's answers make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollout.cases import DEVICE, NEW, NOW, OLD, RULES, Case, error, ok, status
from tests.rollout.fleets import Fleet, rollout_of
from tests.rollout.model_device import WORK_SECONDS, ModelDevice
from tests.rollout.policies import PLAIN, policy
from thorctl.errors import ThorError
from thorctl.protocol.status import Soak
from thorctl.rollout import plan
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.rules import SOAK_FIRST_LOOK_SECONDS, SOAK_LOOK_SECONDS
from thorctl.rollout.model.scheduler import Step
from thorctl.rollout.model.state import begin, seconds
from thorctl.rollout.model.transitions import ended, interrupted, resumed
from thorctl.rollout.policy import SIMULATED, Figures, from_document
from thorctl.rollout.run.step_call import call_of
from thorctl.rollout.views.rollout import worked
from thorctl.rollout.views.summary import device_json

FIGURES = Figures(steps=1000, concurrency=4, minimum_steps_per_second=5)
WORKED: dict[str, Any] = {"work": FIGURES, "pause_seconds": 100}
BEGUN = Soak(release=NEW, state="running", alive=True, steps=10, steps_wanted=1000)


def at(steps: int, **changes: Any) -> Soak:
    return replace(BEGUN, steps=steps, **changes)


SOAKING: dict[str, Any] = {"phase": Phase.SOAKING, "soak_from": NOW - 100, "restarts": 0, "soak": BEGUN}


def soak(state: str = "running", **changes: Any) -> dict[str, Any]:
    found = {"release": NEW, "state": state, "alive": True, "steps": 500, "steps_wanted": 1000}
    return status("trial", NEW, soak=found | {"steps_per_second": 10.0} | changes)


LOOKS = (
    Case("time over, work not", SOAKING, "look", ok(soak()), Phase.SOAKING, rules=WORKED),
    Case("both over", SOAKING, "look", ok(soak("done")), Phase.PASSED, rules=WORKED),
    Case(
        "work over, time not", SOAKING | {"soak_from": NOW - 10}, "look", ok(soak("done")), Phase.SOAKING,
        rules=WORKED,
    ),
    Case(
        "the device found a fault", SOAKING, "look", ok(soak("failed", reason="its engine hangs: …")),
        Phase.ROLLING_BACK, "in the soak: its engine hangs", WORKED,
    ),
    Case("failed, no reason", SOAKING, "look", ok(soak("failed")), Phase.ROLLING_BACK, "no reason", WORKED),
    Case(
        "too busy to say that it is ready", SOAKING | {"strikes": 1}, "look",
        ok(soak() | {"engine": {"unit": "active", "ready": False, "restarts": 0}}), Phase.SOAKING,
        rules=WORKED,
    ),
    Case(
        "not ready, and no steps either", SOAKING | {"strikes": 1}, "look",
        ok(soak(steps=10) | {"engine": {"unit": "active", "ready": False, "restarts": 0}}),
        Phase.ROLLING_BACK, "its engine is not ready", WORKED,
    ),
    Case(
        "restarted, though it makes steps", SOAKING | {"strikes": 1}, "look",
        ok(soak() | {"engine": {"unit": "active", "ready": True, "restarts": 1}}), Phase.ROLLING_BACK,
        "restarted 1 time in the soak", WORKED,
    ),
    Case("its work is unknown", SOAKING, "look", ok(status("trial", NEW)), Phase.SOAKING, rules=WORKED),
    Case("of another release", SOAKING, "look", ok(soak(release=OLD)), Phase.SOAKING, rules=WORKED),
    Case("a state nobody knows", SOAKING, "look", ok(soak("perfect")), Phase.SOAKING, rules=WORKED),
    Case("its process is gone", SOAKING, "look", ok(soak(alive=False)), Phase.SOAKING, rules=WORKED),
    Case(
        "gone again and again", SOAKING | {"tries": 3}, "look", ok(soak(alive=False)), Phase.ROLLING_BACK,
        "ended 3 times without a result", WORKED,
    ),
    Case(
        "unreachable", SOAKING, "look", error("device_unreachable", reached=False), Phase.SOAKING,
        rules=WORKED,
    ),
    Case(
        "unreachable for too long", SOAKING | {"silent_since": NOW - 400}, "look",
        error("device_unreachable", reached=False),
        Phase.UNREACHABLE, "its own deadline rolls it back", WORKED,
    ),
    Case("who is not worked soaks by time", SOAKING | {"soak": None}, "look", ok(soak()), Phase.PASSED),
    Case("begun", SOAKING, "soak", ok({"soak": soak()["soak"]}), Phase.SOAKING, rules=WORKED),
    Case("begun, it says nothing", SOAKING, "soak", ok({}), Phase.UNKNOWN, rules=WORKED),
    Case(
        "not begun", SOAKING, "soak", error("device_unreachable", reached=False), Phase.UNKNOWN,
        rules=WORKED,
    ),
    Case("busy", SOAKING, "soak", error("busy"), Phase.UNKNOWN, rules=WORKED),
    Case(
        "refused for good", SOAKING | {"tries": 3}, "soak", error("internal"), Phase.ROLLING_BACK,
        "had no result in 3 attempts", WORKED,
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", LOOKS, ids=lambda case: case.what)
def test_after_an_answer(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("data", [soak(alive=False), status("trial", NEW), soak("perfect", alive=False)])
def test_work_that_nobody_is_at_is_begun_again(data: dict[str, Any]) -> None:
    after = ended(replace(DEVICE, **SOAKING), "look", ok(data), replace(RULES, **WORKED))
    assert (after.soak, after.tries, after.due) == (None, 1, NOW)


@pytest.mark.parametrize(
    ("rate", "due"), [(500.0, 2), (50.0, 10), (None, SOAK_FIRST_LOOK_SECONDS), (0.1, SOAK_LOOK_SECONDS)]
)
def test_it_is_looked_at_when_its_work_may_be_done(rate: float | None, due: float) -> None:
    data = soak(steps_per_second=rate)
    after = ended(replace(DEVICE, **SOAKING), "look", ok(data), replace(RULES, **WORKED))
    assert after.due == NOW + due


def test_who_takes_over_asks_the_device_how_far_it_is() -> None:
    device = replace(DEVICE, **SOAKING)
    assert interrupted(device, "soak").phase is Phase.UNKNOWN
    after = resumed(device, NOW)
    assert (after.phase, after.soak, after.soak_from) == (Phase.UNKNOWN, None, NOW - 100)


def test_an_agent_that_cannot_work_is_not_activated() -> None:
    leased: dict[str, Any] = {"phase": Phase.LEASED, "began_at": None, "trial_from": None}
    lease = {"holder": "ann@desk", "reason": RULES.lease}
    look = status("committed", OLD, lease=lease, agent_version="0.1.0")
    case = Case("old", leased, "look", ok(look), Phase.FAILED, "agent_too_old", WORKED)
    case.check()
    replace(case, end=ok(look | {"soak": None}), phase=Phase.MEASURING, words="").check()
    replace(case, phase=Phase.MEASURING, words="", rules={}).check()


def test_the_canary_alone_is_worked_and_for_as_long_as_it_takes() -> None:
    fleet = Fleet.of(*["well"] * 4)
    assert fleet.run() == "finished"
    lines = [line for line in fleet.record.lines if line.kind == "step_begun"]
    assert [(line.device, line.wave) for line in lines if line.verb == "soak"] == [("thor-01", 1)]
    at = {line.verb: seconds(line.at) for line in lines if line.device == "thor-01"}
    assert at["commit"] - at["soak"] >= WORK_SECONDS


def test_a_canary_that_hangs_in_its_soak_goes_back_and_stops_it() -> None:
    fleet = Fleet.of("hangs_in_soak", *["well"] * 3)
    assert fleet.run() == "stopped"
    assert set(fleet.serving()) == {OLD}
    assert "in the soak: its engine hangs" in fleet.state.devices["thor-01"].why


def test_waves_of_an_earlier_plan_are_not_worked() -> None:
    made = rollout_of([ModelDevice(f"thor-0{i}") for i in range(4)])
    earlier = [{key: one[key] for key in one if key != "worked"} for one in made.plan["waves"]]
    assert [wave.worked for wave in plan.from_document(made.plan).waves] == [True, False]
    read = replace(made, plan={**made.plan, "waves": earlier}, policy={**made.policy})
    assert begin(read).rules("thor-00").work is None
    assert begin(made).rules("thor-00").work is not None
    assert begin(made).rules("thor-01").work is None


@pytest.mark.parametrize(
    ("work", "waves"), [({}, [True, False]), ({"waves": "all"}, [True, True]), (None, [False, False])]
)
def test_the_policy_says_which_waves_are_worked(work: dict[str, Any] | None, waves: list[bool]) -> None:
    made = rollout_of([ModelDevice(f"thor-0{i}") for i in range(4)], work=work)
    assert [one["worked"] for one in made.plan["waves"]] == waves


def test_figures_are_those_of_the_device_class() -> None:
    usual, own = policy().work, policy(work={"steps": 5000, "classes": {"mine": {"steps": 7}}}).work
    assert usual is not None
    assert own is not None
    thor = usual.of_class("jetson-agx-thor")
    assert (thor.steps, thor.concurrency) == (20_000, 4)
    assert usual.of_class("simulated-container") == SIMULATED
    assert (own.of_class("mine").steps, own.of_class(None).steps) == (7, 5000)
    again = from_document(policy(work={"steps": 5000}).model_dump(mode="json"), "store")
    assert again.work is not None
    assert again.work.of_class("simulated-vm") == SIMULATED


@pytest.mark.parametrize(
    "work",
    [{"steps": 0}, {"concurrency": 0}, {"minimum_steps_per_second": 0}, {"waves": "first"}, {"stepz": 1}],
)
def test_bad_figures_are_refused(work: dict[str, Any]) -> None:
    with pytest.raises(ThorError, match=next(iter(work))):
        from_document({**PLAIN, "work": work}, "test")


def test_the_trial_outlasts_the_slowest_work_and_all_pauses() -> None:
    rules = replace(RULES, **WORKED)
    assert rules.soak_limit_seconds == 1000 / 5 + 100
    assert replace(rules, soak_seconds=4000).soak_limit_seconds == 4000
    assert RULES.soak_limit_seconds == RULES.soak_seconds


def test_the_step_carries_the_figures() -> None:
    step = Step("thor-01", "soak", NEW, 1, 100, work=FIGURES)
    assert call_of(step).words == (
        *("start", NEW, "--steps", "1000", "--concurrency", "4"),
        *("--minimum-rate", "5.0", "--pause-seconds", "100"),
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, []),
        (at(500, steps_per_second=10.0, xid=()), ["500 of 1000 steps, 10.0/s, 50 s left"]),
        (at(0), ["0 of 1000 steps, kernel log unknown"]),
        (
            at(5, steps_per_second=1.0, paused="on hold: on patrol", xid=()),
            ["5 of 1000 steps, 1.0/s, paused: on hold: on patrol"],
        ),
        (at(1003, state="done", steps_per_second=10.0, xid=()), ["1000 of 1000 steps, 10.0/s"]),
    ],
)
def test_status_says_how_far_it_is(found: Soak | None, words: list[str]) -> None:
    assert worked(found) == words


def test_json_says_how_far_it_is() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("soaking")
    while not fleet.state.devices["thor-01"].soak:
        assert fleet.engine
        fleet.engine.turn()
    shown = device_json(fleet.state, fleet.state.devices["thor-01"])["soak"]
    assert (shown["state"], shown["steps_wanted"]) == ("running", 20000)
    assert {
        "steps",
        "steps_per_second",
        "seconds_left",
        "paused",
        "reason",
        "xid",
        "restarts",
    } <= shown.keys()
    assert device_json(fleet.state, fleet.state.devices["thor-02"])["soak"] is None
