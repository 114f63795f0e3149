"""What is to be done now: events to record, steps to begin (steps.py), and when to ask again. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thorctl.protocol.plural import counted
from thorctl.rollout.model.device import UNFINISHED, UNSTAGED, Phase
from thorctl.rollout.model.gates import Action, Decision, judge_fleet, judge_wave
from thorctl.rollout.model.steps import Step, steps, unseen_since_closing, wake

if TYPE_CHECKING:
    from thorctl.rollout.model.state import State


NAMED = 3  # absent devices whose reasons a pause tells; the status shows all


@dataclass(frozen=True, slots=True)
class Event:
    """Something about the whole rollout, to be recorded."""

    kind: str
    message: str = ""
    wave: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Todo:
    """What follows.

    Attributes:
        events: to be recorded first; then ask again, before any step.
        steps: to be begun.
        wake: when to ask again though nothing happens, seconds since the epoch; inf = only when it does.
        over: nothing is left to do, now or later.
        people: only a person's word lets it go on.
    """

    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = ()
    wake: float = math.inf
    over: bool = False
    people: bool = False


def decide(state: State, now: float, wall: float | None = None) -> Todo:
    """What is to be done at ``now``, seconds since the epoch.

    ``wall`` is what the clock on the wall shows then, which windows are read off; without it, ``now``.
    """
    wall = now if wall is None else wall
    if state.ended:
        return Todo(over=True)
    event = _event(state, now)
    if event:
        return Todo(events=(event,))
    begun = steps(state, now, wall)
    again = wake(state, now, wall)
    if begun or state.open:
        return Todo(steps=tuple(begun), wake=again)
    quiet = not any(one.phase in UNFINISHED or one.leased for one in state.devices.values())
    if state.paused and quiet:
        return Todo(over=True)
    return Todo(wake=again, people=state.asked is not None and quiet)


def _event(state: State, now: float) -> Event | None:
    """What is to be recorded before anything else is begun; None: nothing."""
    if any(one.unconfirmed for one in state.devices.values()):
        return None
    if state.stopped is None:
        verdict = judge_fleet(state.brief.policy, state.count())
        if verdict:
            return _stop(verdict)
        if state.wave_open:
            event = _gate(state, now)
            if event:
                return event
        elif state.paused is None:
            event = _next_wave(state)
            if event:
                return event
    return _end(state)


def _gate(state: State, now: float) -> Event | None:
    wave = state.waves[state.wave]
    decision = judge_wave(
        state.brief.policy, wave, state.count(wave.devices), state.count(), canary=wave.number == 1
    )
    if decision.action in {Action.STOP, Action.STOP_AND_RETURN}:
        return _stop(decision)
    if decision.action is Action.GO_ON:
        return Event("wave_closed", decision.reason, wave.number)
    if state.paused or state.count(wave.devices).still:
        return None
    return _evidence(state, decision.reason, now)


def _evidence(state: State, reason: str, now: float) -> Event | None:
    """Nothing is under way, and too few could be seen: wait for them, then let a person decide."""
    absent = [one for one in state.devices.values() if one.phase is Phase.ABSENT]
    whys = " ".join(f"{one.name}: {one.why.rstrip('.')}." for one in absent[:NAMED])
    if state.waiting is None or not state.waiting[0].startswith(reason):  # the whys may change meanwhile
        return Event("waiting", f"{reason}. {whys}", state.wave)
    if now - state.waiting[1] >= state.brief.policy.wait.evidence_seconds:
        return Event("paused", f"{reason}; resume it when they are back. {whys}", state.wave)
    return None


def _next_wave(state: State) -> Event | None:
    """Opens the next wave, asks for it, or catches up those who were absent."""
    number = state.wave + 1
    wave = state.waves.get(number)
    if wave is None:
        return _catch_up(state, number)
    if state.wave == 0 and any(one.phase in UNSTAGED for one in state.devices.values()):
        return None  # staged everywhere first
    if wave.approval and number not in state.approved:
        if state.asked == number:
            return None
        return Event("asked", f"wave {number} ({wave.name}) waits for `thorctl rollout approve`", number)
    return Event("wave_opened", f"{wave.name}: {counted(len(wave.devices), 'device')}", number)


def _catch_up(state: State, number: int) -> Event | None:
    back = [one for one in state.devices.values() if not one.settled and one.phase not in UNFINISHED]
    if not back or any(one.phase in UNSTAGED for one in back):
        return None  # staged first, as everywhere: who comes back meanwhile shares the wave and its soak
    return Event(
        "wave_opened",
        f"catch-up: {counted(len(back), 'device')} back",
        number,
        {"devices": [one.name for one in back]},
    )


def _stop(decision: Decision) -> Event:
    returns = decision.action is Action.STOP_AND_RETURN
    return Event("stopped", decision.reason, data={"returns": returns})


def _end(state: State) -> Event | None:
    """The last event, once nothing is left that could be done."""
    if state.open or any(one.leased for one in state.devices.values()):
        return None
    devices = list(state.devices.values())
    if any(one.phase in UNFINISHED for one in devices):
        return None
    if state.stopped is not None:
        stuck = any(one.phase in {Phase.UNREACHABLE, Phase.ROLLBACK_FAILED} for one in devices)
        word = "aborted" if state.aborted else "stopped"
        return Event("ended", f"{word}, with devices to look after" if stuck else word)
    if state.paused or state.wave_open or state.wave < max(state.waves, default=0):
        return None
    if any(not one.settled or unseen_since_closing(state, one) for one in devices):
        return None
    incomplete = any(one.phase in {Phase.ABSENT, Phase.UNREACHABLE} for one in devices)
    return Event("ended", "incomplete" if incomplete else "finished")
