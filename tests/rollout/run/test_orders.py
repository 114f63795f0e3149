"""What people say while a rollout is at work: approve, pause, abort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import NEW, OLD
from thorctl.rollout.views import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.store.rollouts import Line

WAVES = [{"count": 2}, {"rest": True}]


def test_approvals() -> None:
    fleet = Fleet.of(*["well"] * 5, waves=WAVES, approve="after_canary")
    assert fleet.run() == "asked"
    assert fleet.serving() == [NEW, OLD, OLD, OLD, OLD]
    fleet.record.order(fleet.world, "approved", wave=2)
    assert fleet.run() == "finished"


def test_pause_lets_the_devices_in_hand_finish() -> None:
    fleet = Fleet.of(*["well"] * 5, parallel=2)
    fleet.start()
    while fleet[2].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.record.order(fleet.world, "paused")
    fleet.to_the_end()
    assert all(one.state == "committed" and one.lease is None for one in fleet.devices)
    begun = sum(one.activations for one in fleet.devices)
    assert begun < 5
    assert fleet.run() == "finished"
    assert [one.activations for one in fleet.devices] == [1] * 5


def test_pause_before_the_first_process_is_ready_is_obeyed() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.record.order(fleet.world, "paused")
    fleet.start()
    fleet.to_the_end()
    assert fleet.state.paused
    assert [one.activations for one in fleet.devices] == [0] * 3
    assert fleet.run() == "finished"


def test_abort_of_an_interrupted_rollout_tells_no_resume() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.start()
    while fleet[0].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.record.order(fleet.world, "aborted", returns=False)
    assert fleet.run() == "aborted"
    told = [line[10:] for line in map(events.tell, fleet.record.lines) if line]
    assert "devices on trial return, under control of ann@desk" in told
    assert not any("resumed" in line for line in told)


@pytest.mark.parametrize("returns", [False, True])
def test_abort_takes_back_who_is_on_trial(returns: bool) -> None:
    fleet = Fleet.of(*["well"] * 4)
    fleet.start()
    while fleet[2].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.record.order(fleet.world, "aborted", returns=returns)
    assert fleet.to_the_end() == "aborted"
    assert fleet.serving() == [OLD if returns else NEW, OLD, OLD, OLD]
    assert all(one.lease is None for one in fleet.devices)


def test_an_order_that_comes_while_it_decides_is_obeyed() -> None:
    """An abort that is written between a decision and its record: nothing begins after it."""
    fleet = Fleet.of("well", "well", "well")
    fleet.turn_until("ready")
    append = fleet.record.append

    def overtaken(lines: Sequence[Line], *, newest: int | None = None) -> bool:
        if any(line.verb == "activate" for line in lines):
            fleet.record.order(fleet.world, "aborted")
        return append(lines, newest=newest)

    fleet.record.append = overtaken  # type: ignore[method-assign]  # a race, made certain
    assert fleet.to_the_end() == "aborted"
    assert [one.activations for one in fleet.devices] == [0, 0, 0]
    assert all(one.lease is None for one in fleet.devices)


def test_an_order_that_comes_while_it_leaves_is_obeyed() -> None:
    """Unpaused between its decision to leave and its word that it does: it stays, and goes on."""
    fleet = Fleet.of("well", "well", "well")
    fleet.turn_until("soaking")
    append = fleet.record.append
    overtaken: list[list[str | None]] = []

    def pausing(lines: Sequence[Line], *, newest: int | None = None) -> bool:
        if lines[0].kind == "left" and not overtaken:
            overtaken.append(fleet.serving())
            fleet.record.order(fleet.world, "unpaused")
        added = append(lines, newest=newest)
        if lines[0].kind == "resumed":
            fleet.record.order(fleet.world, "paused")
        return added

    fleet.record.append = pausing  # type: ignore[method-assign]  # a race, made certain
    assert fleet.engine
    assert fleet.engine.run().ended == "finished"
    assert (overtaken, fleet.serving()) == ([[NEW, OLD, OLD]], [NEW] * 3)
