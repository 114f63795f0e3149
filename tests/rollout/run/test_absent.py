"""Devices that are away, on hold, leased or silent: what waits, what is caught up, what is a failure."""

from __future__ import annotations

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NEW, OLD, Lease

WAVES = [{"count": 2}, {"rest": True}]


def test_an_offline_device_is_neither_failed_nor_in_the_way() -> None:
    fleet = Fleet.of(*["well"] * 4)
    fleet[3].linked = False
    assert fleet.run() == "incomplete"
    assert fleet.serving() == [NEW, NEW, OLD, NEW]
    fleet[3].linked = True
    assert fleet.run() == "finished"
    assert fleet.serving() == [NEW] * 4
    assert "catch-up: 1 device back" in fleet.lines("wave_opened")
    assert [one.activations for one in fleet.devices] == [1] * 4


def test_who_comes_back_is_staged_before_its_wave_opens_so_that_others_may_share_it() -> None:
    fleet = Fleet.of(*["well"] * 5, offline={"budget_devices": 2})
    for number in (4, 5):
        fleet[number].linked = False
    assert fleet.run() == "incomplete"
    waves = fleet.lines("wave_opened")
    for number in (4, 5):
        fleet[number].linked = True
    fleet.turn_until("to be staged", 4)
    assert fleet.lines("wave_opened") == waves
    assert fleet.to_the_end() == "finished"
    assert fleet.lines("wave_opened")[len(waves) :] == ["catch-up: 2 devices back"]


def test_an_offline_canary_opens_nothing() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[1].linked = False
    ended = fleet.run()
    assert ended is not None
    assert "all are absent" in ended
    assert fleet.serving() == [OLD] * 3
    [waited] = fleet.lines("waiting")
    assert "no canary device was updated" in waited
    assert "thor-01: " in waited  # who, and why
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
    assert fleet.to_the_end() == "finished"


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
    assert fleet.serving() == [NEW] * 3


def test_a_device_that_falls_silent_on_trial_is_not_well() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet[1].linked = False
    assert fleet.to_the_end() == "stopped, with devices that need attention"
    assert fleet.phases()[0] == "unreachable"
    fleet.world.pass_time(10_000)
    fleet[1].linked = True
    assert fleet[1].current == OLD  # its own deadline
    assert fleet.run() == "stopped"
    assert fleet.phases()[0] in {"failed", "rolled back"}


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
    assert fleet.to_the_end() == "finished"
    assert fleet[1].activations == 1


def test_a_reboot_on_trial_fails_the_device() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.world.power_cut("thor-01")
    assert fleet.to_the_end() == "stopped"
    assert "rolled back before its deadline" in fleet.state.devices["thor-01"].why
