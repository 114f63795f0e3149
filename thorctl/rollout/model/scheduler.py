"""Decide the next actions: events to record, steps to begin, and when to decide again.

The order of a device: look, preflight, stage; then in its wave take (the lease), look, activate, smoke, soak
(its load, if any), look through the soak, commit, give (release the lease). An unhealthy device is rolled
back, observed and tested instead; its first release may be kept for review.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thorctl.protocol.plural import counted
from thorctl.rollout.model.gates import Action, Decision, judge_fleet, judge_wave
from thorctl.rollout.model.phases import (
    CHANGING,
    PREPARED,
    SEEN_ONCE,
    UNFINISHED,
    UNSTAGED,
    UNTOUCHED,
    VERBS,
    Phase,
)
from thorctl.rollout.model.rules import AUTOMATIC
from thorctl.rollout.model.state import SLACK_SECONDS, SMOKE_SECONDS, State

if TYPE_CHECKING:
    from thorctl.rollout.model.device import Device
    from thorctl.rollout.policy import Figures

NAMED = 3  # number of absent devices whose reasons a pause lists; the status shows all
REASON_CHARACTERS = 200  # length of a fault in the device's event log
ABSENT_EVIDENCE_SECONDS = 30.0  # between two observations of devices whose absence blocks a wave


@dataclass(frozen=True, slots=True)
class Step:
    """One verb for one device.

    Attributes:
        seconds: length of the trial for ``activate``, of the lease for ``take``, of the pauses for ``soak``,
            of the review for ``review``.
        over_hold: for ``activate``: the reason of the hold that it overrides.
        work: for ``soak``: the load.
    """

    device: str
    verb: str
    release: str
    wave: int | None = None
    seconds: int = 0
    reason: str = ""
    over_hold: str | None = None
    work: Figures | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the whole rollout, to be recorded."""

    kind: str
    message: str = ""
    wave: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Todo:
    """The decided actions.

    Attributes:
        events: to be recorded first; then decide again, before any step.
        steps: to begin.
        wake: time of the next decision without an event, seconds since the epoch; inf = only on an event.
        over: nothing is left to do, now or later.
        people: only an operator's order continues it.
    """

    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = ()
    wake: float = math.inf
    over: bool = False
    people: bool = False


def decide(state: State, now: float, wall: float | None = None) -> Todo:
    """Decide the actions at ``now``, seconds since the epoch.

    ``wall`` is the wall clock's time for maintenance windows; default ``now``.
    """
    wall = now if wall is None else wall
    if state.ended:
        return Todo(over=True)
    event = _event(state, now)
    if event:
        return Todo(events=(event,))
    begun = _steps(state, now, wall)
    again = _wake(state, now, wall)
    if begun or state.open:
        return Todo(steps=tuple(begun), wake=again)
    quiet = not any(one.phase in UNFINISHED or one.leased for one in state.devices.values())
    if state.paused and quiet:
        return Todo(over=True)
    return Todo(wake=again, people=state.asked is not None and quiet)


def _event(state: State, now: float) -> Event | None:
    """Return the event to record before anything else begins; None if there is none."""
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
    if decision.action is Action.CONTINUE:
        return Event("wave_closed", decision.reason, wave.number)
    if state.paused or state.count(wave.devices).still:
        return None
    return _evidence(state, decision.reason, now)


def _evidence(state: State, reason: str, now: float) -> Event | None:
    """Wait for absent devices if too few were observed and nothing is in progress, then pause."""
    absent = [one for one in state.devices.values() if one.phase is Phase.ABSENT]
    whys = " ".join(f"{one.name}: {one.why.rstrip('.')}." for one in absent[:NAMED])
    if state.waiting is None or not state.waiting[0].startswith(reason):  # only the details may change
        return Event("waiting", f"{reason}. {whys}", state.wave)
    if now - state.waiting[1] >= state.brief.policy.wait.evidence_seconds:
        return Event("paused", f"{reason}; resume it when they are back. {whys}", state.wave)
    return None


def _next_wave(state: State) -> Event | None:
    """Open the next wave, request its approval, or catch up absent devices."""
    number = state.wave + 1
    wave = state.waves.get(number)
    if wave is None:
        return _catch_up(state, number)
    if state.wave == 0 and any(one.phase in UNSTAGED for one in state.devices.values()):
        return None  # staging comes first for all
    if wave.approval and number not in state.approved:
        if state.asked == number:
            return None
        return Event("asked", f"wave {number} ({wave.name}) waits for `thorctl rollout approve`", number)
    return Event("wave_opened", f"{wave.name}: {counted(len(wave.devices), 'device')}", number)


def _catch_up(state: State, number: int) -> Event | None:
    back = [one for one in state.devices.values() if not one.settled and one.phase not in UNFINISHED]
    if not back or any(one.phase in UNSTAGED for one in back):
        return None  # staging comes first: devices that return meanwhile share the wave and its soak
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
    """Return the last event, once nothing is left to do."""
    if state.open or any(one.leased for one in state.devices.values()):
        return None
    devices = list(state.devices.values())
    if any(one.phase in UNFINISHED for one in devices):
        return None
    if state.stopped is not None:
        stuck = any(one.phase in {Phase.UNREACHABLE, Phase.ROLLBACK_FAILED} for one in devices)
        word = "aborted" if state.aborted else "stopped"
        return Event("ended", f"{word}, with devices that need attention" if stuck else word)
    if state.paused or state.wave_open or state.wave < max(state.waves, default=0):
        return None
    if any(not one.settled or _unseen_since_closing(state, one) for one in devices):
        return None
    incomplete = any(one.phase in {Phase.ABSENT, Phase.UNREACHABLE} for one in devices)
    return Event("ended", "incomplete" if incomplete else "finished")


def _unseen_since_closing(state: State, one: Device) -> bool:
    """Return whether an absent device was not observed since the last wave was closed."""
    last = not state.wave_open and state.wave >= max(state.waves, default=0)
    return last and one.phase is Phase.ABSENT and one.looked_at < state.closed_at and one.due < math.inf


def _steps(state: State, now: float, wall: float) -> list[Step]:
    """Return the steps that may begin now, those of the first waves first."""
    policy = state.brief.policy
    staging = sum(line.verb == "stage" for line in state.open.values())
    slots = Counter(
        changing=policy.parallel - sum(_is_changing(state, one) for one in state.devices.values()),
        staging=policy.stage_parallel - staging,
    )
    found = []
    for one in state.in_order:
        if one.name in state.open or _due(state, one) > now:
            continue
        verb = _verb(state, one, wall)
        room = {"take": "changing", "stage": "staging"}.get(verb or "")
        if verb is None or (room and slots[room] <= 0):
            continue
        if room:
            slots[room] -= 1
        found.append(_step(state, one, verb))
    return found


def _is_changing(state: State, one: Device) -> bool:
    begun = state.open.get(one.name)
    taking = begun is not None and begun.verb == "take" and one.phase is Phase.STAGED
    return one.phase in CHANGING or taking


def _verb(state: State, one: Device, wall: float) -> str | None:
    """Return the next verb of a device, if it may begin."""
    if one.leased and _let_go(state, one, wall):
        return "give"
    verb = _verb_of_phase(state, one)
    begins = one.phase is Phase.ABSENT or one.phase in UNTOUCHED
    if verb is None or (begins and _resting(state)):
        return None
    if (
        verb == "take"
        and one.phase is Phase.STAGED
        and not (_in_open_wave(state, one) and _window_open(state, one, wall))
    ):
        return None
    return verb


def _verb_of_phase(state: State, one: Device) -> str | None:
    """Return the phase's verb of the table; for a phase with two, by the device's state."""
    if one.phase in SEEN_ONCE and not one.unconfirmed:
        return None
    verbs = VERBS[one.phase]
    if one.phase is Phase.ROLLBACK_REQUESTED:
        verbs = ("rollback",) if one.leased else ("take",)
    if one.phase is Phase.SOAKING:
        verbs = ("soak",) if one.soak is None and state.rules(one.name).work is not None else ("look",)
    return verbs[0] if verbs else None


def _resting(state: State) -> bool:
    return state.paused is not None or state.stopped is not None


def _let_go(state: State, one: Device, wall: float) -> bool:
    """Return whether our lease is no longer needed: for now, or since its window closed meanwhile."""
    if one.settled or one.phase is Phase.HELD:
        return True
    if _resting(state):
        return one.phase in UNTOUCHED
    return one.phase in PREPARED and not _window_open(state, one, wall)


def _in_open_wave(state: State, one: Device) -> bool:
    wave = state.wave_of(one.name)
    return wave is not None and wave.number == state.wave and state.wave_open


def _window_open(state: State, one: Device, wall: float) -> bool:
    calendar = state.brief.policy.calendar(state.brief.sites[one.name])
    return calendar is None or calendar.is_open(datetime.fromtimestamp(wall, UTC))


def _step(state: State, one: Device, verb: str) -> Step:
    wave = state.wave_of(one.name)
    rules = state.rules(one.name)
    trial = SMOKE_SECONDS + rules.soak_limit_seconds + rules.wait.silence_seconds + SLACK_SECONDS
    # A smoke test of the present release may come between the lease and the activation.
    lease = SMOKE_SECONDS + rules.activate_seconds + trial + SLACK_SECONDS
    lengths = {"activate": trial, "take": lease, "soak": rules.pause_seconds, "review": rules.review_seconds}
    reasons = {"take": rules.lease}
    reasons["rollback"] = f"{AUTOMATIC}{state.brief.id}: {one.fault or state.stopped or 'to return'}"[
        :REASON_CHARACTERS
    ]
    of_before = (
        verb == "smoke" and one.phase in {Phase.SMOKING_PREVIOUS, Phase.MEASURING} and one.before is not None
    )
    release = one.before if of_before and one.before else one.target
    over_hold = rules.over_hold if verb == "activate" and one.hold is not None else None
    if over_hold is not None:
        reasons["activate"] = f"over its hold: {over_hold}"
    if one.hold is not None and one.phase in {Phase.ABSENT, Phase.HELD}:
        reasons["give"] = f"on hold: {one.hold}"
    return Step(
        one.name,
        verb,
        release,
        wave.number if wave else None,
        lengths.get(verb, 0),
        reasons.get(verb, ""),
        over_hold,
        rules.work if verb == "soak" else None,
    )


def _due(state: State, one: Device) -> float:
    if one.leased and (one.settled or one.phase is Phase.HELD):
        return one.due if one.tries else 0.0
    if one.phase is not Phase.ABSENT:
        return one.due
    if _unseen_since_closing(state, one):
        return 0.0
    if state.waiting is not None:
        return min(one.due, one.looked_at + ABSENT_EVIDENCE_SECONDS)
    return one.due


def _wake(state: State, now: float, wall: float) -> float:
    """Return the next time at which a step may be due without an event before."""
    times = [
        _due(state, one)
        for one in state.devices.values()
        if one.name not in state.open and (_verb_of_phase(state, one) or one.leased)
    ]
    if state.waiting is not None:
        times.append(state.waiting[1] + state.brief.policy.wait.evidence_seconds)
    if state.brief.policy.windows is not None and state.stopped is None and state.paused is None:
        times += [now + (opens - wall) for opens in _openings(state, wall)]
    return min((time for time in times if time > now), default=math.inf)


def _openings(state: State, wall: float) -> list[float]:
    """Return when the sites of waiting devices open, by the wall clock."""
    if not state.wave_open:
        return []
    waiting = {state.brief.sites[one.name] for one in state.devices.values() if one.phase is Phase.STAGED}
    moment = datetime.fromtimestamp(wall, UTC)
    found = []
    for site in waiting:
        calendar = state.brief.policy.calendar(site)
        opens = calendar.opens(moment) if calendar else None
        if opens is not None:
            found.append(opens.timestamp())
    return found
