"""Decisions about a large fleet: the work for one device does not grow with the number of devices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from tests.rollout.fleets import rollout_of
from tests.rollout.model_device import ModelDevice
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.scheduler import decide
from thorctl.rollout.model.state import State, begin
from thorctl.rollout.views.summary import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOWS = {"default": {"zone": "Etc/UTC", "open": ["00:00-24:00"]}}


class Unsearchable(tuple[Any, ...]):
    """A tuple that may be walked through, and in which nothing may be looked for."""

    __slots__ = ()

    def __contains__(self, _: object) -> NoReturn:
        raise AssertionError("searched for one device")


class Closed(Unsearchable):
    """One that may not be walked through either."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise AssertionError("walked through for one device")


def large(phase: Phase) -> State:
    """Twelve devices in a wave that is open, whose lists cannot be searched."""
    devices = [ModelDevice(f"thor-{number:02}") for number in range(13)]
    state = begin(rollout_of(devices, windows=WINDOWS))
    waves = {
        number: replace(wave, devices=Unsearchable(wave.devices)) for number, wave in state.waves.items()
    }
    planned = replace(state.brief.plan, devices=Closed(state.brief.plan.devices))
    found = {name: replace(one, phase=phase, staged=True) for name, one in state.devices.items()}
    brief = replace(state.brief, plan=planned)
    return replace(state, brief=brief, waves=waves, devices=found, wave=2, wave_open=True)


def begun(steps: Iterable[Any]) -> set[str]:
    return {step.verb for step in steps}


def test_decisions_search_no_list_of_devices() -> None:
    todo = decide(large(Phase.STAGED), 10.0)
    assert begun(todo.steps) == {"take"}
    assert {step.wave for step in todo.steps} == {2}
    assert begun(decide(large(Phase.READY), 10.0).steps) == {"activate"}
    assert decide(large(Phase.ABSENT), 10.0).events[0].kind == "wave_closed"


def test_status_searches_no_list_of_devices() -> None:
    state = large(Phase.SOAKING)
    devices = [ModelDevice(name) for name in state.devices]
    found = as_json(rollout_of(devices), state, at_work=True)
    assert [one["wave"] for one in found["devices"]] == [1, *[2] * 12]
