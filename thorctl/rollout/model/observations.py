"""Transitions on a device's status.

After ``activate`` and ``rollback``, and after every step without a recorded end, the status decides.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.protocol.identity import stranger
from thorctl.protocol.states import ACTIVATING, COMMITTED, EMPTY, ROLLING_BACK, TRIAL
from thorctl.protocol.status import Status
from thorctl.release.convergence import (
    COMMITTED_RELEASE,
    SERVES,
    Aspect,
    Convergence,
    Desired,
    Verdict,
    convergence,
)
from thorctl.rollout.model.device import Device, forget_trial
from thorctl.rollout.model.gates import judge_health
from thorctl.rollout.model.outcomes import (
    absent,
    failed_untouched,
    held,
    hold_of,
    in_use_words,
    is_ours,
    kept_for_review,
    leased_words,
    may_wait_for_hold,
    roll_back_again,
    settled_as,
    unhealthy,
)
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.rules import (
    ABSENCES,
    ABSENT_LOOK_SECONDS,
    LOOK_SECONDS,
    MALFORMED,
    SOAK_FIRST_LOOK_SECONDS,
    SOAK_LOOK_SECONDS,
    STRIKES,
    TRIES,
)
from thorctl.rollout.model.soak import SHORTEST_LOOK_SECONDS, of_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.rollout.model.rules import Ended, Rules


def looked(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after an answer to ``status``."""
    seen = replace(device, looked_at=end.at)
    if not end.ok:
        return _unseen(seen, end, rules)
    status = end.told(Status)
    if status is None:
        message = f"Its status is invalid: {end.malformed(Status)}."
        return _unseen(seen, replace(end, ok=False, code=MALFORMED, message=message), rules)
    ours = status.lease is not None and str(status.lease.owner) == rules.holder
    seen = replace(seen, silent_since=None, leased=ours)
    judge = _LOOKS.get(device.phase)
    return judge(seen, status, end.at, rules) if judge else seen


def _unseen(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase in {Phase.UPDATED, Phase.IN_REVIEW}:
        return device  # unchanged since its last observation
    if device.phase in {Phase.NEW, Phase.ABSENT, Phase.HELD, Phase.LEASED}:
        booting = device.phase is Phase.ABSENT and end.code == "auth_failed"  # pam_nologin, during a boot
        if end.code in {"device_unreachable", "agent_timeout"} or booting:
            return absent(device, f"offline: {end.message}", end.at)
        return failed_untouched(device, end.words)
    if device.phase is Phase.UNREACHABLE:
        return replace(device, due=end.at + ABSENT_LOOK_SECONDS)
    if device.phase is Phase.SOAKING and end.reached and end.code == MALFORMED:
        # The device is not silent, and what cannot be decoded is no proof of health.
        return _unhealthy_once(replace(device, silent_since=None), end.words, end.at)
    return _silent(device, end, rules)


def _silent(device: Device, end: Ended, rules: Rules) -> Device:
    since = end.at if device.silent_since is None else device.silent_since
    silent = replace(device, silent_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since < rules.wait.silence_seconds:
        return silent
    why = f"no usable answer for {end.at - since:.0f} s ({end.words}); its own deadline rolls it back"
    return replace(
        silent, phase=Phase.UNREACHABLE, why=f"{device.fault}; then {why}" if device.fault else why
    )


# Devices without changes so far.


def present(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe an unchanged device. One that another machine answers for is excluded."""
    other = stranger(device.name, status.identity, rules.identity)
    return absent(device, other, at) if other else _present(device, status, at, rules)


def _present(device: Device, status: Status, at: float, rules: Rules) -> Device:
    found = convergence(status, Desired(device.target, rules.sha256 or None, rules.layout))
    if found.of(COMMITTED_RELEASE) is Verdict.IN_PLACE:
        return _there(device, found, status, rules)
    if status.changing:
        return _in_use(device, status, at, rules)
    if status.state not in {COMMITTED, EMPTY}:
        return failed_untouched(device, f"its state cannot be read: {status.state!r}")
    hindrance = _hindrance(device, status, at, rules) if device.phase is Phase.ABSENT else None
    if hindrance:
        return absent(device, hindrance, at)
    if device.absences > ABSENCES:
        return replace(device, phase=Phase.ABSENT, due=math.inf)
    phase = Phase.STAGED if device.staged else Phase.CHECKING
    return replace(device, phase=phase, before=status.release, tries=0, due=0.0)


def _in_use(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device in use by others, or an own activation (same document) that began after a time-out."""
    whole = bool(rules.sha256) and status.release_sha256 == rules.sha256
    if whole and status.release == device.target and is_ours(status, rules):
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    return absent(device, in_use_words(device.name, status), at)


def _hindrance(device: Device, status: Status, at: float, rules: Rules) -> str | None:
    """Return why a device that is back would be absent again at once; None otherwise."""
    hold = hold_of(status)
    if hold is not None and hold != rules.over_hold and not may_wait_for_hold(device, at, rules):
        return f"on hold: {hold}"
    if status.lease and not device.leased:
        return leased_words(device.name, status.lease)
    return None


def prepared(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device under our lease before its activation; a failure restores this state."""
    seen = present(device, status, at, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    lease = status.lease
    if not device.leased or lease is None or lease.reason != rules.lease:
        taken = f", {leased_words(device.name, lease)}" if lease else ""
        return absent(replace(device, leased=False), f"our lease was revoked{taken}", at)
    lacks = _lacking(status, rules)
    if lacks:
        return failed_untouched(
            device,
            f"agent_too_old: its agent {status.agent_version} {lacks}; install this thorctl's: "
            f"cd playbooks && ansible-playbook site.yml --limit {device.name}",
        )
    hold = hold_of(status)
    if hold is not None and hold != rules.over_hold:
        return held(device, hold, at, rules)
    smoke, release = status.last_smoke, status.release
    passed = smoke is not None and smoke.release == release and smoke.passed is True
    baseline = smoke.tokens_per_second if smoke is not None and passed else None
    measured = baseline is not None or release is None or rules.speed is None
    return replace(
        seen,
        phase=Phase.READY if measured else Phase.MEASURING,
        before=release,
        since=status.since,
        had_release=release is not None,
        baseline=baseline,
        refused_since=None,
        hold=hold,
        held_since=None,
    )


def _lacking(status: Status, rules: Rules) -> str | None:
    """Return the capability that the rollout needs and the device's agent lacks; None if there is none."""
    if rules.layout not in status.agent_layouts:
        return f"does not read a release of layout {rules.layout}"
    if rules.work is not None and "soak" not in status.agent_verbs:
        return "cannot run a soak"
    return None


def waiting_for_hold(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device whose hold is waited for: ended, overridden, present, or present for too long."""
    seen = present(device, status, at, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    hold = hold_of(status)
    if hold is None or hold == rules.over_hold:
        return seen
    return held(device, hold, at, rules)


def _there(device: Device, found: Convergence, status: Status, rules: Rules) -> Device:
    """Return a device with the target's id committed. One with another document of that id has failed."""
    if Aspect.DOCUMENT in found.differs:
        return failed_untouched(
            device,
            f"release_conflict: {device.target} is another document on the device (SHA-256 "
            f"{status.release_sha256}, not {rules.sha256}); find the caller that staged it: "
            f"thorctl logs {device.name} --events",
        )
    if found.of(SERVES) is Verdict.IN_PLACE:
        return replace(device, phase=Phase.UPDATED, why="it serves this release already")
    return failed_untouched(device, "it has this release already, but its engine is not ready")


# Devices with an activation: in the soak, in doubt, rolling back.


def soaked(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device in its soak: healthy, complete, unhealthy once, or failed."""
    begun = device.soak_from
    assert begun is not None  # noqa: S101 - set in this phase
    if status.state != TRIAL or status.release != device.target:
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    before = device.soak
    device = replace(device, soak=of_release(status.soak, device.target))
    if rules.work is not None and device.soak is not None and device.soak.state == "failed":
        return unhealthy(device, f"in the soak: {device.soak.reason or 'its device gives no reason'}")
    generates = before is not None and device.soak is not None and device.soak.steps > before.steps
    verdict = judge_health(status, device.target, device.restarts, generates=generates)
    if device.restarts is None:  # also for an unhealthy engine, which may recover before the next observation
        device = replace(device, restarts=status.engine.restarts)
    if not verdict.good:
        return _unhealthy_once(device, verdict.reason, at)
    no_way_back = missing_for_rollback(device.name, status)
    why = f"{device.why}; {no_way_back}" if no_way_back and no_way_back not in device.why else device.why
    well = replace(device, strikes=0, why=why)
    if rules.work is not None and (device.soak is None or device.soak.state != "done"):
        return _worked(well, at)
    finish = begun + rules.soak_seconds
    over = at >= finish
    return replace(
        well,
        phase=Phase.PASSED if over else Phase.SOAKING,
        due=0.0 if over else min(finish, at + SOAK_LOOK_SECONDS),
    )


def _unhealthy_once(device: Device, reason: str, at: float) -> Device:
    """Count an observation in a soak as a failure; ``STRIKES`` in a row are the device's."""
    strikes = device.strikes + 1
    if strikes < STRIKES:
        return replace(device, strikes=strikes, due=at + LOOK_SECONDS)
    return unhealthy(device, f"in the soak: {reason}")


def _worked(device: Device, at: float) -> Device:
    """Return the device with its soak's load in progress, or to be started again."""
    soak = device.soak
    if soak is not None and soak.alive:
        rated = soak.steps_per_second is not None or soak.paused
        longest = SOAK_LOOK_SECONDS if rated else SOAK_FIRST_LOOK_SECONDS
        left = longest if soak.seconds_left is None else soak.seconds_left
        return replace(device, tries=0, due=at + min(max(left, SHORTEST_LOOK_SECONDS), longest))
    if device.tries >= TRIES:
        return unhealthy(device, f"in the soak: its work ended {TRIES} times without a result")
    return replace(device, soak=None, tries=device.tries + 1, due=at)


def missing_for_rollback(name: str, status: Status) -> str | None:
    """Describe what the release that a rollback restores lacks on the device; None if nothing is known."""
    rollback = status.rollback
    if rollback is None or not rollback.lacking:
        return None
    return (
        f"a rollback to {rollback.release} is impossible without {', '.join(rollback.lacking)}: the rollback"
        f" pulls a missing image first, `thorctl stage {name} --release PROFILE` fetches the rest"
    )


def confirmed(device: Device, status: Status, at: float, rules: Rules) -> Device:  # noqa: ARG001 - as all
    """Observe a device updated in an earlier run; a rollback by others since then is a failure."""
    if status.state not in {COMMITTED, EMPTY} or status.release == device.target:
        return device
    fault = f"it was rolled back by others after its update; it serves {status.release or 'nothing'}"
    return replace(device, phase=Phase.FAILED, fault=fault, why=fault, changed=False)


def reviewed(device: Device, status: Status, at: float, rules: Rules) -> Device:  # noqa: ARG001 - as all
    """Observe a device kept for review in an earlier run: still so, accepted by an operator, or ended."""
    if status.state == TRIAL and status.release == device.target:
        return device
    if status.state == COMMITTED and status.release == device.target:
        why = f"accepted by an operator: {device.fault}"
        return replace(device, phase=Phase.UPDATED, fault=None, why=why, changed=False)
    why = f"{device.fault}; its review ended; it serves {status.release or 'nothing'}"
    return replace(forget_trial(device), phase=Phase.FAILED, why=why)


def reconciled(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Determine the end of an unobserved step from the device's status."""
    state, ours = status.state, status.release == device.target
    if state in {ACTIVATING, ROLLING_BACK}:
        return _at_work(device, status, at, rules)
    if state == TRIAL:
        return _still_on_trial(device, status, at, rules) if ours else _others(device, status)
    if state == COMMITTED and ours:
        if device.phase is Phase.ROLLBACK_UNVERIFIED or device.fault is not None:
            return roll_back_again(device, at)
        changed = is_ours(status, rules) is not False
        return replace(device, phase=Phase.UPDATED, changed=changed, why=device.why or "committed")
    if state in {COMMITTED, EMPTY}:
        return _back(device, status, at, rules)
    return replace(device, phase=Phase.UNREACHABLE, why=f"its state cannot be read: {state!r}", due=math.inf)


def _still_on_trial(device: Device, status: Status, at: float, rules: Rules) -> Device:
    if is_ours(status, rules) is False:  # our trial ended, and another caller began one
        if device.fault is not None:
            return _others(device, status)
        return absent(device, in_use_words(device.name, status), at)
    if status.review_seconds_left is not None:
        return kept_for_review(device, status.deadline)
    if device.phase is Phase.ROLLBACK_UNVERIFIED or device.fault is not None or rules.stopped:
        return roll_back_again(device, at)
    trial_from = at if device.trial_from is None else device.trial_from
    phase = Phase.TRIAL if device.soak_from is None else Phase.SOAKING
    return replace(device, phase=phase, trial_from=trial_from, due=0.0)


def _others(device: Device, status: Status) -> Device:
    fault = f"another caller began a trial of {status.release} meanwhile: {in_use_words(device.name, status)}"
    return replace(forget_trial(device), phase=Phase.FAILED, fault=fault, why=fault)


def _at_work(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device that runs a verb: wait for a limited time."""
    start = at if device.began_at is None else device.began_at
    since = device.refused_since if device.refused_since is not None else start
    waiting = replace(device, refused_since=since, due=at + LOOK_SECONDS)
    if at - since <= rules.activate_seconds:
        return waiting
    fault = device.fault or f"{status.state} for more than {rules.activate_seconds} s"
    return roll_back_again(replace(device, fault=fault), at)


def _back(device: Device, status: Status, at: float, rules: Rules) -> Device:
    """Observe a device with another committed release than ours, or with none."""
    calm = replace(forget_trial(device), due=0.0, refused_since=None, tries=0)
    if device.fault is not None:
        return _home(calm, status, device.fault)
    if device.phase is Phase.ROLLBACK_UNVERIFIED or rules.stopped:
        return _home(replace(calm, changed=False), status, "the rollout stopped")
    if device.since is not None and status.since == device.since:
        return replace(calm, phase=Phase.STAGED, why="its activation had not begun")
    ends = device.trial_ends
    if ends is not None and at >= ends:
        return replace(calm, phase=Phase.STAGED, why="its trial ended unobserved")
    fault = "it rolled back before its deadline: a failed activation, a reboot, or another caller's rollback"
    return _home(replace(calm, fault=fault), status, fault)


def _home(device: Device, status: Status, why: str) -> Device:
    """Return a restored device for its smoke test: the rollback may have failed, and its speed is needed."""
    why = why.rstrip(".")  # a clause follows
    if status.release is None:
        return replace(device, phase=settled_as(device), why=f"{why}; it serves nothing, as before")
    return replace(
        device, phase=Phase.SMOKING_PREVIOUS, before=status.release, why=f"{why}; it serves {status.release}"
    )


_LOOKS: dict[Phase, Callable[[Device, Status, float, Rules], Device]] = {
    Phase.NEW: present,
    Phase.ABSENT: present,
    Phase.HELD: waiting_for_hold,
    Phase.LEASED: prepared,
    Phase.SOAKING: soaked,
    Phase.UNKNOWN: reconciled,
    Phase.ROLLBACK_UNVERIFIED: reconciled,
    Phase.UNREACHABLE: reconciled,
    Phase.UPDATED: confirmed,
    Phase.IN_REVIEW: reviewed,
}
