"""The engine over model fleets: each story once, told by name. test_engine_model.py tells random ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model import NATURES, NEW, OLD, Lease
from thorctl.rollout.decide import decide
from thorctl.rollout.fold import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.store.rollouts import Line

WAVES = [{"count": 2}, {"rest": True}]


def serving(fleet: Fleet) -> list[str | None]:
    return [one.current if one.state == "committed" else one.state for one in fleet.devices]


def test_all_well() -> None:
    fleet = Fleet.of(*["well"] * 5, waves=WAVES)
    assert fleet.run() == "finished"
    assert serving(fleet) == [NEW] * 5
    assert all(one.lease is None and one.activations == 1 for one in fleet.devices)
    assert fleet.lines("wave_closed") == [
        "1 of 1 devices of the canary are well",
        "2 of 2 devices of wave 2 are well",
        "2 of 2 devices of wave 3 are well",
    ]


@pytest.mark.parametrize("nature", [*NATURES[1:]])
def test_a_bad_canary_stops_it_and_nobody_else_is_touched(nature: str) -> None:
    fleet = Fleet.of(nature, "well", "well", "well")
    assert fleet.run() == "stopped"
    assert serving(fleet) == [OLD] * 4
    assert [one.activations for one in fleet.devices][1:] == [0, 0, 0]
    assert fleet.phases()[0] == "failed"
    assert all(one.lease is None for one in fleet.devices)
    (reason,) = fleet.lines("stopped")
    assert "canary" in reason


def test_a_failed_device_returns_alone() -> None:
    fleet = Fleet.of("well", "well", "smoke_fails", "well", "well", success_percent=50)
    assert fleet.run() == "finished"
    assert serving(fleet) == [NEW, NEW, OLD, NEW, NEW]
    assert fleet.phases()[2] == "failed"


@pytest.mark.parametrize(("on_stop", "first"), [("keep", NEW), ("return", OLD)])
def test_a_stop_in_wave_2(on_stop: str, first: str) -> None:
    fleet = Fleet.of("well", "smoke_fails", "smoke_fails", "well", "well", waves=WAVES, on_stop=on_stop)
    assert fleet.run() == "stopped"
    assert serving(fleet) == [first, OLD, OLD, OLD, OLD]
    assert [one.activations for one in fleet.devices] == [1, 1, 1, 0, 0]
    assert fleet.phases()[0] == ("updated" if on_stop == "keep" else "returned")


def test_a_device_whose_speed_is_not_known_is_measured_first() -> None:
    fleet = Fleet.of("well", "slow", "well", success_percent=50)
    for device in fleet.devices:
        device.unmeasured = True
    assert fleet.run() == "finished"
    assert serving(fleet) == [NEW, OLD, NEW]
    asked = [
        line.data["release"]
        for line in fleet.record.lines
        if line.verb == "smoke" and line.kind == "step_begun"
    ]
    assert asked[:2] == [OLD, NEW]
    assert fleet.state.devices["thor-02"].baseline == 40.0


def test_a_whole_fleet_does_not_return_at_once() -> None:
    natures = ["well"] * 7 + ["smoke_fails"]
    fleet = Fleet.of(*natures, waves=[{"count": 6}, {"rest": True}], on_stop="return", parallel=2)
    fleet.start()
    worst = 0
    while not fleet.state.ended:
        assert fleet.engine
        fleet.engine.turn()
        worst = max(worst, fleet.out_of_service())
    assert fleet.phases() == ["returned"] * 7 + ["failed"]
    assert worst == 2


def test_an_offline_device_is_neither_failed_nor_in_the_way() -> None:
    fleet = Fleet.of(*["well"] * 4)
    fleet[3].linked = False
    assert fleet.run() == "incomplete"
    assert serving(fleet) == [NEW, NEW, OLD, NEW]
    fleet[3].linked = True
    assert fleet.run() == "finished"
    assert serving(fleet) == [NEW] * 4
    assert "catch-up: 1 device back" in fleet.lines("wave_opened")
    assert [one.activations for one in fleet.devices] == [1] * 4


def test_an_offline_canary_opens_nothing() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[1].linked = False
    ended = fleet.run()
    assert ended is not None
    assert "an absent one proves nothing" in ended
    assert serving(fleet) == [OLD] * 3
    fleet[1].linked = True
    assert fleet.run() == "finished"


def test_a_canary_that_comes_back_in_time_goes_on_by_itself() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[1].linked = False
    fleet.start()
    while not fleet.lines("waiting"):
        assert fleet.engine
        fleet.engine.turn()
    fleet[1].linked = True
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "finished"


def test_over_the_offline_budget_no_wave_opens() -> None:
    fleet = Fleet.of(*["well"] * 5, waves=WAVES, offline={"budget_devices": 1})
    for number in (3, 5):
        fleet[number].linked = False
    ended = fleet.run()
    assert ended is not None
    assert "at most 1" in ended
    assert [one.activations for one in fleet.devices] == [1, 0, 0, 0, 0]


def test_a_held_device_is_staged_and_waits() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[2].hold = "on patrol"
    assert fleet.run() == "incomplete"
    assert (fleet[2].staged, fleet[2].activations, fleet[2].lease) == (True, 0, None)
    assert "on patrol" in fleet.state.devices["thor-02"].why
    fleet[2].hold = None
    assert fleet.run() == "finished"


def test_a_lease_taken_by_hand_is_never_waited_for() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[2].staged = True
    fleet[2].lease = Lease("carl@lab", "measuring", fleet.world.time + 10**9)
    began = fleet.world.time
    assert fleet.run() == "incomplete"
    assert fleet.world.time - began < 600
    assert fleet[2].lease.holder == "carl@lab"


def test_another_rollouts_lease_is_waited_for() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[2].lease = Lease("carl@lab", "rollout 20261124-3", fleet.world.time + 120)
    assert fleet.run() == "finished"
    assert serving(fleet) == [NEW] * 3


def test_a_device_that_falls_silent_on_trial_is_not_well() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet[1].linked = False
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "stopped, with devices to look after"
    assert fleet.phases()[0] == "lost"
    fleet.world.pass_time(10_000)
    fleet[1].linked = True
    assert fleet[1].current == OLD  # its own deadline
    assert fleet.run() == "stopped"
    assert fleet.phases()[0] in {"failed", "returned"}


def test_a_short_silence_is_forgiven() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet[1].linked = False
    began = fleet.world.time
    while fleet.world.time < began + 100:
        assert fleet.engine
        fleet.engine.turn()
    fleet[1].linked = True
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "finished"
    assert fleet[1].activations == 1


def test_a_reboot_on_trial_fails_the_device() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.world.power_cut("thor-01")
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "stopped"
    assert "went back by itself" in fleet.state.devices["thor-01"].why


def test_a_trial_that_ended_while_the_controller_was_dead_is_begun_anew() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.kill()
    fleet.world.pass_time(10_000)
    assert fleet[1].state == "committed"
    assert fleet.run() == "finished"
    assert fleet[1].activations == 2


def test_approvals() -> None:
    fleet = Fleet.of(*["well"] * 5, waves=WAVES, approve="after_canary")
    assert fleet.run() == "asked"
    assert serving(fleet) == [NEW, OLD, OLD, OLD, OLD]
    fleet.record.order(fleet.world, "approved", wave=2)
    assert fleet.run() == "finished"


def test_pause_lets_the_devices_in_hand_finish() -> None:
    fleet = Fleet.of(*["well"] * 5, parallel=2)
    fleet.start()
    while fleet[2].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.record.order(fleet.world, "paused")
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert all(one.state == "committed" and one.lease is None for one in fleet.devices)
    begun = sum(one.activations for one in fleet.devices)
    assert begun < 5
    assert fleet.run() == "finished"
    assert [one.activations for one in fleet.devices] == [1] * 5


@pytest.mark.parametrize("returns", [False, True])
def test_abort_takes_back_who_is_on_trial(returns: bool) -> None:
    fleet = Fleet.of(*["well"] * 4)
    fleet.start()
    while fleet[2].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.record.order(fleet.world, "aborted", returns=returns)
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "aborted"
    assert serving(fleet) == [OLD if returns else NEW, OLD, OLD, OLD]
    assert all(one.lease is None for one in fleet.devices)


def test_a_window_that_is_shut_is_waited_for() -> None:
    windows = {"default": {"zone": "UTC", "open": ["03:00-05:00"]}, "closing_margin_minutes": 10}
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1}, windows=windows)
    fleet.world.time = datetime(2026, 11, 25, 2, 40, tzinfo=UTC).timestamp()
    assert fleet.run() == "finished"
    begun = [line.at for line in fleet.record.lines if line.kind == "step_begun" and line.verb == "activate"]
    assert all("T03:" in at or "T04:" in at for at in begun)
    staged = [line.at for line in fleet.record.lines if line.verb == "stage"]
    assert max(staged) < min(begun)


def test_a_window_that_shuts_while_a_device_is_measured_is_kept() -> None:
    windows = {"default": {"zone": "UTC", "open": ["03:00-05:00"]}, "closing_margin_minutes": 0}
    fleet = Fleet.of("well", "well", errors={"stop_at_devices": 1}, windows=windows)
    fleet[1].unmeasured = True
    fleet.world.time = datetime(2026, 11, 25, 4, 59, 30, tzinfo=UTC).timestamp()
    fleet.start()
    name = fleet[1].name
    while fleet.state.devices[name].leased or fleet.state.devices[name].baseline is None:
        assert fleet.engine
        fleet.engine.turn()
    assert fleet.world.time > datetime(2026, 11, 25, 5, tzinfo=UTC).timestamp()
    assert (fleet.phases()[0], fleet[1].lease, fleet[1].activations) == ("staged", None, 0)


def test_an_order_that_comes_while_it_decides_is_obeyed() -> None:
    """An abort that is written between a decision and its record: nothing begins after it."""
    fleet = Fleet.of("well", "well", "well")
    turn_until(fleet, "ready")
    append = fleet.record.append

    def overtaken(lines: Sequence[Line], *, newest: int | None = None) -> bool:
        if any(line.verb == "activate" for line in lines):
            fleet.record.order(fleet.world, "aborted")
        return append(lines, newest=newest)

    fleet.record.append = overtaken  # type: ignore[method-assign]  # a race, made certain
    while fleet.engine and not fleet.engine.turn().over:
        pass
    assert fleet.state.ended == "aborted"
    assert [one.activations for one in fleet.devices] == [0, 0, 0]
    assert all(one.lease is None for one in fleet.devices)


def test_a_controller_that_leaves_gives_back_what_it_does_not_need() -> None:
    fleet = Fleet.of("well", "well", "well", "well", parallel=3)
    fleet[2].unmeasured = True
    turn_until(fleet, "soaking", 3)
    turn_until_leased = [one.name for one in fleet.devices if one.lease]
    assert turn_until_leased
    assert fleet.engine
    fleet.engine.leave("left by ann@desk", 30)
    for device in fleet.devices:
        assert (device.lease is not None) == (device.state in {"trial", "activating"}), device
    assert fleet.state.paused == "left by ann@desk"
    fleet.kill()
    assert fleet.run() == "finished"
    assert [one.activations for one in fleet.devices] == [1] * 4


def test_a_clock_that_was_set_back_between_two_runs_makes_no_soak_endless() -> None:
    fleet = Fleet.of("well", "well", errors={"stop_at_devices": 1})
    turn_until(fleet, "soaking")
    fleet.kill()
    back = 10 * 86_400.0
    fleet.world.time -= back
    for device in fleet.devices:
        if device.deadline is not None:
            device.deadline -= back
    began = fleet.world.time
    assert fleet.run() == "finished"
    assert fleet.world.time - began < 3600


def test_everybody_is_staged_before_anybody_is_changed() -> None:
    fleet = Fleet.of(*["well"] * 5, stage_parallel=1)
    assert fleet.run() == "finished"
    verbs = [line.verb for line in fleet.record.lines if line.kind == "step_begun"]
    assert "take" not in verbs[: max(i for i, verb in enumerate(verbs) if verb == "stage")]


def test_staging_is_refilled_by_the_half() -> None:
    fleet = Fleet.of(*["well"] * 8, stage_parallel=4)
    fleet.start()
    while len([line for line in fleet.state.open.values() if line.verb == "stage"]) < 4:
        assert fleet.engine
        fleet.engine.turn()
    state = fleet.state

    def ended(name: str) -> Line:
        begun = state.open[name]
        data = {"data": {"release": NEW}}
        return replace(begun, kind="step_ended", step=begun.id, ok=True, data=data, id=state.last + 1)

    first, second = (name for name, _ in zip(state.open, range(2), strict=False))
    one = fold(state, [ended(first)])
    assert [step.verb for step in decide(one, fleet.world.now()).steps] == []
    two = fold(one, [ended(second)])
    assert [step.verb for step in decide(two, fleet.world.now()).steps] == ["stage", "stage"]


def test_killed_at_every_moment() -> None:
    """One rollout is killed at its first moment, its second …; each time another controller ends it."""
    for moment in range(1, 200):
        fleet = Fleet.of("well", "well", "smoke_fails", success_percent=50, parallel=2)
        ended = fleet.run(blow_at=moment)
        if ended is not None:
            assert moment > 60  # there were that many moments
            break
        assert fleet.run() == "finished", moment
        assert serving(fleet) == [NEW, NEW, OLD], moment
        assert [one.activations for one in fleet.devices] == [1, 1, 1], moment
        assert all(one.lease is None for one in fleet.devices), moment
    else:
        raise AssertionError("it has no end")


def turn_until(fleet: Fleet, phase: str, number: int = 1) -> None:
    """Works until the device is in that phase, and no step of it is under way."""
    fleet.start()
    name = fleet[number].name
    while fleet.state.devices[name].phase.value != phase or name in fleet.state.open:
        assert fleet.engine
        fleet.engine.turn()


def test_what_somebody_else_did_meanwhile_is_not_done_again() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    turn_until(fleet, "staged")
    fleet.kill()
    fleet[1].previous, fleet[1].current, fleet[1].since = OLD, NEW, 9
    assert fleet.run() == "finished"
    assert [one.activations for one in fleet.devices] == [0, 1]
    assert fleet.state.devices["thor-01"].why == "it serves this release already"
