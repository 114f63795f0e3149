"""What a step makes of a device: when it begins, when it ends, when nobody saw its end. Pure.

``looks`` and ``ends`` say what an answer means; a rollout that stops and a controller that takes over change
every device at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.rollout.model.device import ON_TRIAL, PREPARED, Device, Phase
from thorctl.rollout.model.observations import looked
from thorctl.rollout.model.verb_result import (
    activate_ended,
    commit_ended,
    give_ended,
    preflight_ended,
    review_ended,
    rollback_ended,
    smoke_ended,
    soak_ended,
    stage_ended,
    take_ended,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.rollout.model.rules import Ended, Rules


_ON_TRIAL_VERBS = frozenset({"activate", "smoke", "soak", "commit", "review"})


def begun(device: Device, verb: str, at: float, seconds: int) -> Device:
    """The device once a step has begun: what may have happened counts as happened."""
    if verb == "take":
        return replace(device, leased=True)
    if verb == "activate":
        return replace(
            device, began_at=at, trial_from=None, trial_seconds=seconds, activations=device.activations + 1
        )
    return device


def interrupted(device: Device, verb: str) -> Device:
    """The device of a step whose end nobody saw."""
    if device.began_at is None:
        return device  # nothing of ours can have changed it
    if verb in _ON_TRIAL_VERBS and device.phase not in {Phase.BACK, Phase.MEASURE}:
        return replace(device, phase=Phase.DOUBT, due=0.0)
    return device


def ended(device: Device, verb: str, end: Ended, rules: Rules) -> Device:
    """The device after a step."""
    after = _ENDS[verb](device, end, rules)
    if after.phase is Phase.LOST:
        after = replace(after, leased=False)  # out of reach: the lease ends by itself
    return stopped(after, returns=rules.returns) if rules.stopped else after


def stopped(device: Device, *, returns: bool) -> Device:
    """The device in a rollout that stops: who is on trial returns; who was committed, if asked for."""
    if device.phase in ON_TRIAL:
        return replace(device, phase=Phase.RETURNING, tries=0, due=0.0)
    if device.phase in PREPARED:
        return replace(device, phase=Phase.STAGED)
    if returns and device.phase is Phase.DONE and device.changed:
        return replace(device, phase=Phase.RECALLED, tries=0, refused_since=None, due=0.0)
    return device


def resumed(device: Device, at: float) -> Device:
    """The device at the begin of another run: what was under way is looked at first."""
    if device.soak_from is not None and device.soak_from > at:  # the clock was set back: a soak anew
        device = replace(device, soak_from=None, restarts=None)
    fresh = replace(
        device,
        due=0.0,
        looked_at=0.0,
        silent_since=None,
        refused_since=None,
        held_since=None,
        absences=0,
        restaged=False,
        tries=0,
        strikes=0,
        soak=None,
    )
    if device.phase in ON_TRIAL or device.phase is Phase.LOST:
        return replace(fresh, phase=Phase.DOUBT)
    if device.phase in PREPARED:
        return replace(fresh, phase=Phase.STAGED)
    if device.phase is Phase.STUCK:
        return replace(fresh, phase=Phase.RECALLED)
    return fresh


_ENDS: dict[str, Callable[[Device, Ended, Rules], Device]] = {
    "look": looked,
    "preflight": preflight_ended,
    "stage": stage_ended,
    "take": take_ended,
    "activate": activate_ended,
    "smoke": smoke_ended,
    "soak": soak_ended,
    "commit": commit_ended,
    "review": review_ended,
    "rollback": rollback_ended,
    "give": give_ended,
}
