"""Controllers that die or leave, and what the next one makes of what they left."""

from __future__ import annotations

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NEW, OLD


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


def test_a_controller_that_leaves_gives_back_what_it_does_not_need() -> None:
    fleet = Fleet.of("well", "well", "well", "well", parallel=3)
    fleet[2].unmeasured = True
    fleet.turn_until("soaking", 3)
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
    fleet.turn_until("soaking")
    fleet.kill()
    back = 10 * 86_400.0
    fleet.world.time -= back
    for device in fleet.devices:
        if device.deadline is not None:
            device.deadline -= back
    began = fleet.world.time
    assert fleet.run() == "finished"
    assert fleet.world.time - began < 3600


@pytest.mark.parametrize("first", [1, *(pytest.param(one, marks=pytest.mark.slow) for one in (2, 3, 4, 5))])
def test_killed_at_every_moment(first: int) -> None:
    """One rollout is killed at its first moment, its sixth …; each time another controller ends it."""
    for moment in range(first, 200, 5):
        fleet = Fleet.of("well", "well", "smoke_fails", success_percent=50, parallel=2)
        ended = fleet.run(blow_at=moment)
        if ended is not None:
            assert moment > 60  # there were that many moments
            break
        assert fleet.run() == "finished", moment
        assert fleet.serving() == [NEW, NEW, OLD], moment
        assert [one.activations for one in fleet.devices] == [1, 1, 1], moment
        assert all(one.lease is None for one in fleet.devices), moment
    else:
        raise AssertionError("it has no end")


def test_what_somebody_else_did_meanwhile_is_not_done_again() -> None:
    fleet = Fleet.of(*["well"] * 2, errors={"stop_at_devices": 1})
    fleet.turn_until("staged")
    fleet.kill()
    fleet[1].previous, fleet[1].current, fleet[1].since = OLD, NEW, 9
    assert fleet.run() == "finished"
    assert [one.activations for one in fleet.devices] == [0, 1]
    assert fleet.state.devices["thor-01"].why == "it serves this release already"


def test_a_canary_that_somebody_took_back_meanwhile_is_not_well() -> None:
    fleet = Fleet.of(*["well"] * 3, errors={"stop_at_devices": 1})
    fleet.turn_until("on trial", 2)
    fleet.kill()
    fleet[1].go_back()  # by hand, from the release that was committed
    assert fleet.run() == "stopped"
    assert fleet.serving() == [OLD] * 3
    assert "it was rolled back by others" in fleet.state.devices["thor-01"].why


def test_an_updated_device_that_is_away_when_it_is_resumed_stays_updated() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("on trial", 2)
    fleet.kill()
    fleet[1].linked = False
    assert fleet.run() == "finished"
    assert fleet.serving() == [NEW] * 3
