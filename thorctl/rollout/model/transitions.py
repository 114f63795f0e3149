"""Transitions of a device at a step's begin and end, at a stop, and when another controller takes over.

``verb_results`` and ``observations`` choose a phase by the answer; the table of ``phases`` must admit it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.rollout.model.observations import looked
from thorctl.rollout.model.phases import RESUMED, STOPPED, Phase, admitted
from thorctl.rollout.model.verb_results import (
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

    from thorctl.rollout.model.device import Device
    from thorctl.rollout.model.rules import Ended, Rules


_ON_TRIAL_VERBS = frozenset({"activate", "smoke", "soak", "commit", "review"})


def begun(device: Device, verb: str, at: float, seconds: int) -> Device:
    """Return the device after a step's begin: its possible effects count as happened."""
    if verb == "take":
        return replace(device, leased=True)
    if verb == "activate":
        return replace(
            device, began_at=at, trial_from=None, trial_seconds=seconds, activations=device.activations + 1
        )
    return device


def interrupted(device: Device, verb: str) -> Device:
    """Return the device after a step without a recorded end."""
    if device.began_at is None:
        return device  # the step changes nothing
    if verb in _ON_TRIAL_VERBS and device.phase not in {Phase.SMOKING_PREVIOUS, Phase.MEASURING}:
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    return device


def ended(device: Device, verb: str, end: Ended, rules: Rules) -> Device:
    """Return the device after a step; UNKNOWN if the table does not admit the chosen phase."""
    after = JUDGES[verb](device, end, rules)
    if after.phase not in admitted(device.phase, verb):
        after = replace(after, phase=Phase.UNKNOWN, due=end.at)
    if after.phase is Phase.UNREACHABLE:
        after = replace(after, leased=False)  # the lease expires
    return stopped(after, returns=rules.returns) if rules.stopped else after


def stopped(device: Device, *, returns: bool) -> Device:
    """Return the device in a stopped rollout; ``returns``: committed devices are rolled back too."""
    if returns and device.phase is Phase.UPDATED and device.changed:
        return replace(device, phase=Phase.ROLLBACK_REQUESTED, tries=0, refused_since=None, due=0.0)
    phase = STOPPED.get(device.phase, device.phase)
    if phase is Phase.ROLLING_BACK is not device.phase:
        return replace(device, phase=phase, tries=0, due=0.0)
    return replace(device, phase=phase)


def resumed(device: Device, at: float) -> Device:
    """Return the device at the begin of another run: steps in progress are observed first."""
    if device.soak_from is not None and device.soak_from > at:  # the clock was set back: restart the soak
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
    return replace(fresh, phase=RESUMED.get(device.phase, device.phase))


JUDGES: dict[str, Callable[[Device, Ended, Rules], Device]] = {
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
