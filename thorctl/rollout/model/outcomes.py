"""Where a device comes to rest, waits, or turns back: what looks and verbs have in common. Pure."""

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


# How a person ends a review.
REVIEW_WAYS = (
    "`thorctl commit {0} --accept-failed-smoke REASON` keeps the release, "
    "`thorctl rollback {0}` ends its trial"
)


def refused(device: Device, end: Ended, rules: Rules) -> Device:
    """Others use the device. Work is waited for, so is another rollout's lease; one taken by hand never."""
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
    """Whether a rollout took it; one of an earlier version says so in its reason alone."""
    return any(one.startswith(AUTOMATIC) for one in (lease.owner.purpose, lease.reason or ""))


def held(device: Device, hold: str, at: float, rules: Rules) -> Device:
    """The device itself holds: waited for as long as the policy says, then absent."""
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
    """Whether this run has not yet waited for the end of its hold as long as the policy lets it."""
    since = at if device.held_since is None else device.held_since
    return at - since < rules.wait.hold_seconds


def rollback_failed(device: Device, end: Ended) -> Device:
    """A recalled device that keeps the new release, once a few more attempts have failed."""
    if end.unanswered and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    return replace(device, phase=Phase.ROLLBACK_FAILED, why=f"it keeps the new release: {end.words}")


def unhealthy(device: Device, fault: str) -> Device:
    """Mark the device unhealthy and schedule its rollback."""
    return replace(device, phase=Phase.ROLLING_BACK, fault=fault, why=fault, tries=0, due=0.0)


def kept_for_review(device: Device, ends: str | None) -> Device:
    """Its first release failed its smoke test and stays on trial until a person accepts it or ends it."""
    fault = device.fault or device.why or "its first release failed its smoke test"
    why = f"{fault.rstrip('.')}; kept for review" + (f" until {ends}" if ends else "")
    return replace(device, phase=Phase.IN_REVIEW, fault=fault, why=why, tries=0, refused_since=None, due=0.0)


def absent(device: Device, why: str, at: float) -> Device:
    """Not to be had, through no fault of its own: caught up later."""
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
    """Failed before anything was changed on it."""
    return replace(device, phase=Phase.FAILED, fault=why, why=f"{why.rstrip('.')}; nothing was changed on it")


def settled_as(device: Device) -> Phase:
    """What a device that is back counts as."""
    return Phase.ROLLED_BACK if device.fault is None else Phase.FAILED


def roll_back_again(device: Device, at: float) -> Device:
    """Roll back once more; UNREACHABLE after ``TRIES`` attempts."""
    if device.tries >= TRIES:
        why = f"{device.fault or 'it was to return'}; it did not go back in {TRIES} attempts"
        return replace(device, phase=Phase.UNREACHABLE, why=why, due=at + ABSENT_LOOK_SECONDS)
    return replace(
        device,
        phase=Phase.ROLLING_BACK,
        tries=device.tries + 1,
        due=at if device.tries == 0 else at + LOOK_SECONDS,
    )


def reason_of(hold: Hold | None) -> str:
    """The reason of a hold."""
    return "?" if hold is None else hold.reason or "no reason given"


def hold_of(status: Status) -> str | None:
    """The reason of the device's hold, as its status tells it; None = it does not hold."""
    return reason_of(status.hold) if status.hold else None


def refusal_words(device: str, end: Ended) -> str:
    """Why a device refused a step: who holds it, or what it is busy with."""
    lease = end.known.lease
    return leased_words(device, lease) if lease else end.message


def leased_words(device: str, lease: Lease) -> str:
    """Who holds a lease, why, until when, and what to type so that the device is free."""
    return f"leased by {lease.words}. {lease.owner.way_out(device)}"


def is_ours(status: Status, rules: Rules) -> bool | None:
    """Whether this rollout began the activation that its status tells of; None: an earlier agent's."""
    return None if status.activated_by is None else status.activated_by == rules.holder


def in_use_words(device: str, status: Status) -> str:
    """Whose activation or trial a device is at, until when, and what to type so that it is free."""
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
