"""Which verb is next for which device, whether it may be, and when that may change. Pure.

The order of a device: look, preflight, stage; then in its wave take (the lease), look, activate, smoke, soak
(its load, if any), look through the soak, commit, give (the lease back). A device that is not well is
rolled back, looked at and asked instead; its first release may be kept for review.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thorctl.rollout.model.device import CHANGING, PREPARED, SEEN_ONCE, UNTOUCHED, Device, Phase
from thorctl.rollout.model.rules import AUTOMATIC
from thorctl.rollout.model.state import SLACK_SECONDS, SMOKE_SECONDS, State
from thorctl.rollout.model.transition_table import VERBS

if TYPE_CHECKING:
    from thorctl.rollout.policy import Figures

REASON_CHARACTERS = 200  # of a fault, in the device's own event log
ABSENT_EVIDENCE_SECONDS = 30.0  # between two looks at devices whose absence keeps a wave shut


@dataclass(frozen=True, slots=True)
class Step:
    """One verb for one device.

    Attributes:
        seconds: of the trial for ``activate``, of the lease for ``take``, of the pauses for ``soak``, of the
            review for ``review``.
        over_hold: for ``activate``: the reason of the hold that it passes over.
        work: for ``soak``: what the engine is to do.
    """

    device: str
    verb: str
    release: str
    wave: int | None = None
    seconds: int = 0
    reason: str = ""
    over_hold: str | None = None
    work: Figures | None = None


def unseen_since_closing(state: State, one: Device) -> bool:
    """Whether an absent device was not looked at since the last wave was closed."""
    last = not state.wave_open and state.wave >= max(state.waves, default=0)
    return last and one.phase is Phase.ABSENT and one.looked_at < state.closed_at and one.due < math.inf


def steps(state: State, now: float, wall: float) -> list[Step]:
    """The steps that may begin now, those of the first waves first."""
    policy = state.brief.policy
    staging = sum(line.verb == "stage" for line in state.open.values())
    slots = Counter(
        changing=policy.parallel - sum(_is_changing(state, one) for one in state.devices.values()),
        # Refilled by the half: a playbook for each device that gets ready would cost more than it gains.
        staging=policy.stage_parallel - staging if staging <= policy.stage_parallel // 2 else 0,
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
    """What is next for a device, if it may be."""
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
    """The table's verb of the device's phase; of a phase with two, by what the device has already."""
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
    """Whether our lease of it has no more use: for now, or since its window shut while it was measured."""
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
    # A smoke test of the release it has may come between the lease and the activation.
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
    if unseen_since_closing(state, one):
        return 0.0
    if state.waiting is not None:
        return min(one.due, one.looked_at + ABSENT_EVIDENCE_SECONDS)
    return one.due


def wake(state: State, now: float, wall: float) -> float:
    """The next moment at which something may be due though nothing happens before."""
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
    """When the sites of devices that wait for their window open, on the wall's clock."""
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
