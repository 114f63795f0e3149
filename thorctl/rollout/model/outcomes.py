"""Common transitions of observations and verb results: success, wait, failure, rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.protocol.owner import parse
from thorctl.rollout.model.device import Device, forget_trial
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.rules import ABSENT_LOOK_SECONDS, AUTOMATIC, HOLD_LOOK_SECONDS, LOOK_SECONDS, TRIES

if TYPE_CHECKING:
    from thorctl.protocol.lease import Hold, Lease
    from thorctl.protocol.status import Status
    from thorctl.rollout.model.rules import Ended, Rules


# The commands that end a review.
REVIEW_WAYS = (
    "`thorctl commit {0} --accept-failed-smoke REASON` keeps the release, "
    "`thorctl rollback {0}` ends its trial"
)


def refused(device: Device, end: Ended, rules: Rules) -> Device:
    """Handle a device in use. A running verb or a rollout's lease is waited for, a manual lease is not."""
    since = end.at if device.refused_since is None else device.refused_since
    lease = end.known.lease
    why = refusal_words(device.name, end)
    by_hand = end.code == "leased" and not (lease is not None and _is_rollouts(lease))
    if not by_hand and end.at - since < rules.wait.lease_seconds:
        phase = Phase.STAGED if device.phase is Phase.LEASED else device.phase
        return replace(device, phase=phase, refused_since=since, due=end.at + LOOK_SECONDS, why=why)
    if device.phase is Phase.ROLLBACK_REQUESTED:
        return rollback_failed(device, end)
    return absent(device, why, end.at)


def _is_rollouts(lease: Lease) -> bool:
    """Return whether a rollout acquired the lease; an earlier version records this in the reason only."""
    return any(one.startswith(AUTOMATIC) for one in (lease.owner.purpose, lease.reason or ""))


def held(device: Device, hold: str, at: float, rules: Rules) -> Device:
    """Handle a device on hold: wait for as long as the policy allows, then absent."""
    if not may_wait_for_hold(device, at, rules):
        return absent(replace(device, hold=hold), f"on hold: {hold}", at)
    return replace(
        forget_trial(device),
        phase=Phase.HELD,
        hold=hold,
        held_since=at if device.held_since is None else device.held_since,
        why=f"waited for, at most {rules.wait.hold_seconds} s: {hold}",
        due=at + HOLD_LOOK_SECONDS,
        refused_since=None,
        tries=0,
    )


def may_wait_for_hold(device: Device, at: float, rules: Rules) -> bool:
    """Return whether this run may wait further for the end of the device's hold."""
    since = at if device.held_since is None else device.held_since
    return at - since < rules.wait.hold_seconds


def rollback_failed(device: Device, end: Ended) -> Device:
    """Handle a failed rollback of a committed release: repeat it, then ROLLBACK_FAILED."""
    if end.unanswered and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    return replace(device, phase=Phase.ROLLBACK_FAILED, why=f"it keeps the new release: {end.words}")


def unhealthy(device: Device, fault: str) -> Device:
    """Mark the device unhealthy and schedule its rollback."""
    return replace(device, phase=Phase.ROLLING_BACK, fault=fault, why=fault, tries=0, due=0.0)


def kept_for_review(device: Device, ends: str | None) -> Device:
    """Keep a first release that failed its smoke test on trial until an operator accepts it or ends it."""
    fault = device.fault or device.why or "its first release failed its smoke test"
    why = f"{fault.rstrip('.')}; kept for review" + (f" until {ends}" if ends else "")
    return replace(device, phase=Phase.IN_REVIEW, fault=fault, why=why, tries=0, refused_since=None, due=0.0)


def absent(device: Device, why: str, at: float) -> Device:
    """Mark the device absent, which is no failure: a later wave catches it up."""
    return replace(
        forget_trial(device),
        phase=Phase.ABSENT,
        why=why,
        due=at + ABSENT_LOOK_SECONDS,
        refused_since=None,
        tries=0,
        absences=device.absences + (device.phase is not Phase.ABSENT),
    )


def failed_untouched(device: Device, why: str) -> Device:
    """Mark the device failed before anything was changed on it."""
    return replace(device, phase=Phase.FAILED, fault=why, why=f"{why.rstrip('.')}; nothing was changed on it")


def settled_as(device: Device) -> Phase:
    """Return the final phase of a restored device."""
    return Phase.ROLLED_BACK if device.fault is None else Phase.FAILED


def roll_back_again(device: Device, at: float) -> Device:
    """Repeat the rollback; UNREACHABLE after ``TRIES`` attempts."""
    if device.tries >= TRIES:
        why = f"{device.fault or 'its rollback was ordered'}; the rollback failed in {TRIES} attempts"
        return replace(device, phase=Phase.UNREACHABLE, why=why, due=at + ABSENT_LOOK_SECONDS)
    return replace(
        device,
        phase=Phase.ROLLING_BACK,
        tries=device.tries + 1,
        due=at if device.tries == 0 else at + LOOK_SECONDS,
    )


def reason_of(hold: Hold | None) -> str:
    """Return the reason of a hold."""
    return "?" if hold is None else hold.reason or "no reason given"


def hold_of(status: Status) -> str | None:
    """Return the reason of the device's hold from its status; None = there is none."""
    return reason_of(status.hold) if status.hold else None


def refusal_words(device: str, end: Ended) -> str:
    """Describe why a device refused a step: its leaseholder, or the verb that runs."""
    lease = end.known.lease
    return leased_words(device, lease) if lease else end.message


def leased_words(device: str, lease: Lease) -> str:
    """Describe a lease: holder, reason, expiry, and the command that releases it."""
    return f"leased by {lease.words}. {lease.owner.way_out(device)}"


def is_ours(status: Status, rules: Rules) -> bool | None:
    """Return whether this rollout began the activation in the status; None: an earlier agent's."""
    return None if status.activated_by is None else status.activated_by == rules.holder


def in_use_words(device: str, status: Status) -> str:
    """Describe an activation or trial: owner, deadline, and the command that ends it."""
    owner = parse(status.activated_by) if status.activated_by is not None else None
    words = f"{status.state} with {status.target or status.release}"
    words += f", begun by {owner.words}" if owner else ""
    words += f", until {status.deadline}" if status.deadline else ""
    if status.review_seconds_left is not None:
        words += f". Its first release is kept for review: {REVIEW_WAYS.format(device)}"
        return f"in use by others: {words}."
    holder = status.lease.owner if status.lease else None
    first = holder.way_out(device) if holder else f"Use {owner.ends}." if owner and owner.rollout else ""
    return f"in use by others: {words}. {first} `thorctl rollback {device}` ends it.".replace("  ", " ")
