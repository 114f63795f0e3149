"""A fleet larger than the screen: those that something happens to are shown, the others counted."""

from __future__ import annotations

import re

from rich.console import Console

from tests.rollout.fleets import Fleet
from thorctl.rollout.views.rollout import RolloutView, shortlist


def in_second_wave() -> Fleet:
    """40 devices: one is off, one fails, and the wave of ten is on trial."""
    natures = ["well"] * 3 + ["smoke_fails"] + ["well"] * 36
    waves = [{"count": 10}, {"rest": True}]
    fleet = Fleet.of(*natures, waves=waves, success_percent=50, errors={"stop_at_devices": 5})
    fleet[6].linked = False
    fleet.start()
    while "soaking" not in fleet.phases()[1:11] or fleet.phases()[3] != "failed":
        assert fleet.engine
        fleet.engine.turn()
    return fleet


def test_who_is_worked_on_or_in_trouble_comes_first_in_the_order_of_the_waves() -> None:
    fleet = in_second_wave()
    devices, others = shortlist(fleet.state, 13)
    names = [one.name for one in devices]
    assert len(names) == 12
    assert names == sorted(names)
    assert {f"thor-{number:02}" for number in range(2, 12)} <= set(names)
    assert others == "and 28 more: 28 staged"


def test_with_room_for_all_none_is_left_out() -> None:
    fleet = in_second_wave()
    assert shortlist(fleet.state, 40) == (fleet.state.in_order, "")


def test_a_live_view_keeps_to_its_screen_and_another_shows_all() -> None:
    fleet = in_second_wave()
    console = Console(width=80, height=24, color_system=None)
    for live, shown in ((True, 12), (False, 40)):
        with console.capture() as capture:
            console.print(RolloutView(fleet.rollout, fleet.state, at_work=True, live=live))
        text = capture.get()
        assert (len(text.splitlines()) <= 24) is live
        assert len(re.findall(r"^thor-", text, re.MULTILINE)) == shown
        assert ("28 more: 28 staged" in text) is live
