"""Another machine under a device's name is left alone, whenever it turns up before the activation."""

from __future__ import annotations

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model_device import OLD


@pytest.mark.parametrize("number", [1, 3])
def test_device_that_answers_under_another_s_name_is_not_changed(number: int) -> None:
    fleet = Fleet.of(*["well"] * 4)
    fleet[number].answers_as = "thor-09"
    fleet.run()
    device = fleet.state.devices[f"thor-0{number}"]
    assert device.phase.value == "absent"
    assert "it answers as thor-09" in device.why
    assert (fleet[number].current, fleet[number].activations) == (OLD, 0)


def test_machine_that_was_swapped_after_the_plan_is_not_changed() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.rollout.plan["devices"][2]["machine"] = "a" * 16
    fleet[3].machine = "b" * 16
    fleet.run()
    assert fleet.phases() == ["updated", "updated", "absent"]
    assert "another machine answers" in fleet.state.devices["thor-03"].why
    assert fleet[3].activations == 0
