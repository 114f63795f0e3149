"""Replay a rollout's log: compute its state from the recorded lines.

A running controller and one that takes over after a ``kill -9`` compute the state in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl.rollout.model import transitions
from thorctl.rollout.model.phases import PREPARED, Phase
from thorctl.rollout.model.rules import Ended
from thorctl.rollout.model.state import State, seconds
from thorctl.rollout.model.waves import PlannedWave
from thorctl.store.rollouts import STEP_BEGUN, STEP_ENDED, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thorctl.rollout.model.device import Device


def fold(state: State, lines: Iterable[Line]) -> State:
    """Return the state after these lines."""
    for line in lines:
        state = replace(_fold_one(state, line), last=line.id)
    return state


def _fold_one(state: State, line: Line) -> State:
    if line.kind == STEP_BEGUN and line.device:
        device = state.devices[line.device]
        at, limit = seconds(line.at), int(line.data.get("seconds") or 0)
        after = transitions.begun(device, str(line.verb), at, limit)
        return _with(replace(state, open={**state.open, line.device: line}), after)
    if line.kind == STEP_ENDED and line.device:
        rest = {name: one for name, one in state.open.items() if name != line.device}
        after = transitions.ended(
            state.devices[line.device], str(line.verb), ended_of(line), state.rules(line.device)
        )
        return _with(replace(state, open=rest), after)
    return _EVENTS.get(line.kind, _note)(state, line)


def ended_of(line: Line) -> Ended:
    """Return a step's end as recorded in its line."""
    return Ended(
        at=seconds(line.at),
        ok=line.ok is True,
        reached=line.data.get("reached") is not False,
        code=line.code or "",
        message=line.message,
        data=_object(line.data.get("data")),
        details=_object(line.data.get("details")),
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _with(state: State, device: Device) -> State:
    return replace(state, devices={**state.devices, device.name: device})


def _each(state: State, change: Callable[[Device], Device]) -> State:
    return replace(state, devices={name: change(one) for name, one in state.devices.items()})


def _resumed(state: State, line: Line) -> State:
    """Take over in another process: steps of the previous one without a recorded end are in doubt."""
    devices = dict(state.devices)
    for name, begun in state.open.items():
        devices[name] = transitions.interrupted(devices[name], str(begun.verb))
    fresh = {name: transitions.resumed(one, seconds(line.at)) for name, one in devices.items()}
    return replace(
        state,
        devices=fresh,
        open={},
        paused=state.paused if line.kind == "started" else None,  # ordered before the first process was ready
        waiting=None,
        ended=None,
        left=False,
        run=line.run,
        closed_at=seconds(line.at),
    )


def _paused(state: State, line: Line) -> State:
    """Start nothing further; release devices that are prepared and not activated."""
    let_go = _each(state, lambda one: replace(one, phase=Phase.STAGED) if one.phase in PREPARED else one)
    return replace(let_go, paused=line.message or "paused", waiting=None)


def _unpaused(state: State, line: Line) -> State:  # noqa: ARG001 - as all of them
    return replace(state, paused=None)


def _left(state: State, line: Line) -> State:  # noqa: ARG001 - as all of them
    return replace(state, left=True)


def _stopped(state: State, line: Line) -> State:
    returns = state.returns or line.data.get("returns") is True
    after = _each(state, lambda one: transitions.stopped(one, returns=returns))
    aborted = state.aborted or line.kind == "aborted"
    return replace(
        after,
        stopped=line.message or line.kind,
        returns=returns,
        aborted=aborted,
        paused=None,
        waiting=None,
        asked=None,
    )


def _wave_opened(state: State, line: Line) -> State:
    number = line.wave or 0
    waves, in_wave = dict(state.waves), state.in_wave
    if number not in waves:  # a catch-up wave
        names = tuple(line.data["devices"])
        policy = state.brief.policy
        waves[number] = PlannedWave(
            number,
            "catch-up",
            names,
            policy.soak_seconds,
            policy.success_percent,
            approval=False,
            worked=policy.work is not None and policy.work.waves == "all",
        )
        in_wave = {**in_wave, **dict.fromkeys(names, number)}
    return replace(state, waves=waves, in_wave=in_wave, wave=number, wave_open=True, asked=None, waiting=None)


def _wave_closed(state: State, line: Line) -> State:
    return replace(state, wave_open=False, closed_at=seconds(line.at), waiting=None)


def _waiting(state: State, line: Line) -> State:
    return replace(state, waiting=(line.message, seconds(line.at)))


def _asked(state: State, line: Line) -> State:
    return replace(state, asked=line.wave)


def _approved(state: State, line: Line) -> State:
    return replace(state, approved=state.approved | {line.wave or 0}, asked=None)


def _over_hold(state: State, line: Line) -> State:
    """Override a device's present hold by order of an operator; a later hold counts again."""
    name, hold = str(line.device), str(line.data.get("hold"))
    device = state.devices.get(name)
    if device is None:
        return state
    at_once = replace(device, due=0.0) if device.phase in {Phase.HELD, Phase.ABSENT} else device
    return _with(replace(state, over_hold={**state.over_hold, name: hold}), at_once)


def _ended(state: State, line: Line) -> State:
    return replace(state, ended=line.message)


def _note(state: State, line: Line) -> State:  # noqa: ARG001 - as all of them
    return state


_EVENTS: dict[str, Callable[[State, Line], State]] = {
    "started": _resumed,
    "resumed": _resumed,
    "paused": _paused,
    "unpaused": _unpaused,
    "left": _left,
    "stopped": _stopped,
    "aborted": _stopped,
    "wave_opened": _wave_opened,
    "wave_closed": _wave_closed,
    "waiting": _waiting,
    "asked": _asked,
    "approved": _approved,
    "over_hold": _over_hold,
    "ended": _ended,
}
