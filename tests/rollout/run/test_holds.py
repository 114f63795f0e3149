"""A device's own veto: waited for if asked for, passed over by name and on the record, or caught up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NEW, OLD

if TYPE_CHECKING:
    import pytest

HOUR = {"hold_seconds": 3600}


def to_phase(fleet: Fleet, phase: str, number: int = 2) -> None:
    fleet.start()
    while fleet.phases()[number - 1] != phase:
        assert fleet.engine
        fleet.engine.turn()


def test_a_hold_is_waited_for_without_a_lease_and_goes_on_when_it_ends() -> None:
    fleet = Fleet.of("well", "well", "well", wait=HOUR)
    fleet[2].hold = "on patrol"
    to_phase(fleet, "on hold")
    while fleet.phases()[2] != "updated":
        assert fleet.engine
        fleet.engine.turn()
    assert (fleet[2].lease, fleet.state.wave_open) == (None, True)
    assert "on patrol" in fleet.state.devices["thor-02"].why
    fleet[2].hold = None
    assert fleet.to_the_end() == "finished"
    assert [one.activations for one in fleet.devices] == [1, 1, 1]


def test_a_wait_for_a_hold_has_a_limit_and_begins_anew_with_the_next_run() -> None:
    fleet = Fleet.of("well", "well", "well", wait=HOUR)
    fleet[2].hold = "on patrol"
    for _ in range(2):
        began = fleet.world.time
        assert fleet.run() == "incomplete"
        assert 3600 <= fleet.world.time - began < 5000
        assert fleet.phases()[1] == "absent"
    fleet[2].hold = None
    assert fleet.run() == "finished"


def test_an_operator_passes_over_a_hold_and_the_record_says_who() -> None:
    fleet = Fleet.of("well", "well", "well", wait=HOUR)
    fleet[2].hold = "on patrol"
    to_phase(fleet, "on hold")
    fleet.record.order(fleet.world, "over_hold", device="thor-02", hold="on patrol")
    assert fleet.to_the_end() == "finished"
    assert fleet[2].current == NEW
    begun = [line for line in fleet.record.lines if line.verb == "activate" and line.kind == "step_begun"]
    assert {line.device: line.message for line in begun}["thor-02"] == "over its hold: on patrol"
    assert [line.who for line in fleet.record.lines if line.kind == "over_hold"] == ["bob@desk"]


def test_a_word_given_before_a_resume_holds_there() -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet[2].hold = "on patrol"
    assert fleet.run() == "incomplete"
    fleet.kill()
    fleet.record.order(fleet.world, "over_hold", device="thor-02", hold="on patrol")
    assert fleet.run() == "finished"


def test_another_hold_than_the_one_that_was_read_is_respected() -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet[2].hold = "an antenna is mounted"
    fleet.start()
    fleet.record.order(fleet.world, "over_hold", device="thor-02", hold="on patrol")
    assert fleet.to_the_end() == "incomplete"
    assert fleet[2].current == OLD
    assert "antenna" in fleet.state.devices["thor-02"].why


def test_a_hold_that_comes_between_the_last_look_and_the_activation_is_waited_for_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = Fleet.of("well", "well", "well", wait=HOUR)
    to_phase(fleet, "ready")
    fleet[2].hold = "on patrol"
    monkeypatch.setattr(fleet.world, "watch", lambda *_: None)
    to_phase_running(fleet, "on hold")
    fleet[2].hold = None
    assert fleet.to_the_end() == "finished"


def to_phase_running(fleet: Fleet, phase: str) -> None:
    while fleet.phases()[1] != phase:
        assert fleet.engine
        fleet.engine.turn()


def test_pause_and_abort_end_a_wait_for_a_hold() -> None:
    for order, ended in (("paused", None), ("aborted", "aborted")):
        fleet = Fleet.of("well", "well", "well", wait=HOUR)
        fleet[2].hold = "on patrol"
        to_phase(fleet, "on hold")
        fleet.record.order(fleet.world, order)
        began = fleet.world.time
        assert fleet.to_the_end() == ended
        assert fleet.world.time - began < 1000
        assert fleet[2].lease is None
