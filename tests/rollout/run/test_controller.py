"""The engine over model fleets: waves, thresholds, windows, order. Random ones: test_controller_model.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NATURES, NEW, OLD
from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.scheduler import decide

if TYPE_CHECKING:
    from thorctl.store.rollouts import Line

WAVES = [{"count": 2}, {"rest": True}]


def test_all_well() -> None:
    fleet = Fleet.of(*["well"] * 5, waves=WAVES)
    assert fleet.run() == "finished"
    assert fleet.serving() == [NEW] * 5
    assert all(one.lease is None and one.activations == 1 for one in fleet.devices)
    assert fleet.lines("wave_closed") == [
        "1 of 1 device of the canary is healthy",
        "2 of 2 devices of wave 2 are healthy",
        "2 of 2 devices of wave 3 are healthy",
    ]


@pytest.mark.parametrize("nature", [*NATURES[1:]])
def test_a_bad_canary_stops_it_and_nobody_else_is_touched(nature: str) -> None:
    fleet = Fleet.of(nature, "well", "well", "well")
    before = fleet.serving()
    assert fleet.run() == "stopped"
    assert fleet.serving() == before
    assert [one.activations for one in fleet.devices][1:] == [0, 0, 0]
    assert fleet.phases()[0] == "failed"
    assert all(one.lease is None for one in fleet.devices)
    (reason,) = fleet.lines("stopped")
    assert "canary" in reason


def test_a_failed_device_returns_alone() -> None:
    fleet = Fleet.of("well", "well", "smoke_fails", "well", "well", success_percent=50)
    assert fleet.run() == "finished"
    assert fleet.serving() == [NEW, NEW, OLD, NEW, NEW]
    assert fleet.phases()[2] == "failed"


@pytest.mark.parametrize(("on_stop", "first"), [("keep", NEW), ("return", OLD)])
def test_a_stop_in_wave_2(on_stop: str, first: str) -> None:
    fleet = Fleet.of("well", "smoke_fails", "smoke_fails", "well", "well", waves=WAVES, on_stop=on_stop)
    assert fleet.run() == "stopped"
    assert fleet.serving() == [first, OLD, OLD, OLD, OLD]
    assert [one.activations for one in fleet.devices] == [1, 1, 1, 0, 0]
    assert fleet.phases()[0] == ("updated" if on_stop == "keep" else "rolled back")


def test_a_device_whose_speed_is_not_known_is_measured_first() -> None:
    fleet = Fleet.of("well", "slow", "well", success_percent=50)
    for device in fleet.devices:
        device.unmeasured = True
    assert fleet.run() == "finished"
    assert fleet.serving() == [NEW, OLD, NEW]
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
    assert fleet.phases() == ["rolled back"] * 7 + ["failed"]
    assert worst == 2


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


def test_everybody_is_staged_before_anybody_is_changed() -> None:
    fleet = Fleet.of(*["well"] * 5, stage_parallel=1)
    assert fleet.run() == "finished"
    verbs = [line.verb for line in fleet.record.lines if line.kind == "step_begun"]
    assert "take" not in verbs[: max(i for i, verb in enumerate(verbs) if verb == "stage")]


def test_staging_is_refilled_as_places_become_free() -> None:
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

    one = fold(state, [ended(next(iter(state.open)))])
    assert [step.verb for step in decide(one, fleet.world.now()).steps] == ["stage"]
