"""What a device's own status makes of it. Pure.

After ``activate`` and ``rollback``, and after every step whose end nobody saw, the status has the last word.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl.protocol.identity import identity_of, stranger
from thorctl.protocol.owner import owner_of
from thorctl.protocol.states import ACTIVATING, CHANGING, COMMITTED, EMPTY, ROLLING_BACK, TRIAL
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
    SOAK_LOOK_SECONDS,
    STRIKES,
    TRIES,
)
from thorctl.rollout.model.soak import SHORTEST_LOOK_SECONDS, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.rollout.model.rules import Ended, Rules


def looked(device: Device, end: Ended, rules: Rules) -> Device:
    """After the agent's status."""
    seen = replace(device, looked_at=end.at)
    if not end.ok:
        return _unseen(seen, end, rules)
    if "state" not in end.data:
        return _unseen(
            seen, replace(end, ok=False, code="agent_garbage", message="its status says nothing"), rules
        )
    lease = end.data.get("lease")
    seen = replace(
        seen, silent_since=None, leased=isinstance(lease, dict) and str(owner_of(lease)) == rules.holder
    )
    judge = _LOOKS.get(device.phase)
    return judge(seen, end, rules) if judge else seen


def _unseen(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase in {Phase.UPDATED, Phase.IN_REVIEW}:
        return device  # as it was last seen
    if device.phase in {Phase.NEW, Phase.ABSENT, Phase.HELD, Phase.LEASED}:
        booting = device.phase is Phase.ABSENT and end.code == "auth_failed"  # pam_nologin's way to say so
        if end.code in {"device_unreachable", "agent_timeout"} or booting:
            return absent(device, f"offline: {end.message}", end.at)
        return failed_untouched(device, end.words)
    if device.phase is Phase.UNREACHABLE:
        return replace(device, due=end.at + ABSENT_LOOK_SECONDS)
    since = end.at if device.silent_since is None else device.silent_since
    silent = replace(device, silent_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since < rules.wait.silence_seconds:
        return silent
    why = f"no usable answer for {end.at - since:.0f} s ({end.words}); its own deadline takes it back"
    return replace(
        silent, phase=Phase.UNREACHABLE, why=f"{device.fault}; then {why}" if device.fault else why
    )


# Nothing was changed on it yet.


def present(device: Device, end: Ended, rules: Rules) -> Device:
    """First seen, or seen again, and untouched by us. Another machine under its name is left alone."""
    other = stranger(device.name, identity_of(end.data), rules.identity)
    return absent(device, other, end.at) if other else _present(device, end, rules)


def _present(device: Device, end: Ended, rules: Rules) -> Device:
    status = end.data
    state, release = status.get("state"), status.get("release")
    found = convergence(status, Desired(device.target, rules.sha256 or None, rules.layout))
    if found.of(COMMITTED_RELEASE) is Verdict.IN_PLACE:
        return _there(device, found, status, rules)
    if state in CHANGING:
        return _in_use(device, end, rules)
    if state not in {COMMITTED, EMPTY}:
        return failed_untouched(device, f"its state cannot be read: {state!r}")
    hindrance = _hindrance(device, end, rules) if device.phase is Phase.ABSENT else None
    if hindrance:
        return absent(device, hindrance, end.at)
    if device.absences > ABSENCES:
        return replace(device, phase=Phase.ABSENT, due=math.inf)
    phase = Phase.STAGED if device.staged else Phase.CHECKING
    return replace(device, phase=phase, before=release, tries=0, due=0.0)


def _in_use(device: Device, end: Ended, rules: Rules) -> Device:
    """Others are at it; or this rollout's own activation, of the very document, began later than was seen."""
    status = end.data
    whole = bool(rules.sha256) and status.get("release_sha256") == rules.sha256
    if whole and status.get("release") == device.target and is_ours(status, rules):
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    return absent(device, in_use_words(device.name, status), end.at)


def _hindrance(device: Device, end: Ended, rules: Rules) -> str | None:
    """Why a device that is back would be absent again at once."""
    lease, hold = end.data.get("lease"), hold_of(end.data)
    if hold is not None and hold != rules.over_hold and not may_wait_for_hold(device, end, rules):
        return f"on hold: {hold}"
    if lease and not device.leased:
        return leased_words(device.name, lease)
    return None


def prepared(device: Device, end: Ended, rules: Rules) -> Device:
    """The last look before the activation, under our lease: what it finds is what a failure returns to."""
    status = end.data
    seen = present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    lease = status.get("lease")
    if not device.leased or not isinstance(lease, dict) or lease.get("reason") != rules.lease:
        taken = f", {leased_words(device.name, lease)}" if isinstance(lease, dict) else ""
        return absent(replace(device, leased=False), f"our lease was taken from us{taken}", end.at)
    known = status.get("agent_layouts")
    if rules.layout not in (known if isinstance(known, list) else [1]):
        return failed_untouched(
            device,
            f"agent_too_old: its agent {status.get('agent_version')} does not read a release of layout "
            f"{rules.layout}; install this thorctl's: cd playbooks && ansible-playbook site.yml --limit "
            f"{device.name}",
        )
    if rules.work is not None and "soak" not in status:
        return failed_untouched(
            device,
            f"agent_too_old: its agent {status.get('agent_version')} cannot work a soak; install this "
            f"thorctl's: cd playbooks && ansible-playbook site.yml --limit {device.name}",
        )
    hold = hold_of(status)
    if hold is not None and hold != rules.over_hold:
        return held(device, hold, end, rules)
    smoke = status.get("last_smoke")
    release = status.get("release")
    known = isinstance(smoke, dict) and smoke.get("release") == release and smoke.get("passed") is True
    baseline = smoke.get("tokens_per_second") if known and isinstance(smoke, dict) else None
    since = status.get("since")
    measured = baseline is not None or release is None or rules.speed is None
    return replace(
        seen,
        phase=Phase.READY if measured else Phase.MEASURING,
        before=release,
        since=since if isinstance(since, str) else None,
        had_release=release is not None,
        baseline=float(baseline) if isinstance(baseline, (int, float)) else None,
        refused_since=None,
        hold=hold,
        held_since=None,
    )


def waiting_for_hold(device: Device, end: Ended, rules: Rules) -> Device:
    """A look at a device whose hold is waited for: gone, passed over, still there, or there for too long."""
    seen = present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    hold = hold_of(end.data)
    if hold is None or hold == rules.over_hold:
        return seen
    return held(device, hold, end, rules)


def _there(device: Device, found: Convergence, status: Mapping[str, Any], rules: Rules) -> Device:
    """A device that has committed the target's id. One with another document of that id has failed."""
    if Aspect.DOCUMENT in found.differs:
        return failed_untouched(
            device,
            f"release_conflict: {device.target} is another document there (SHA-256 "
            f"{status['release_sha256']}, not {rules.sha256}); find out who staged it: "
            f"thorctl logs {device.name} --events",
        )
    if found.of(SERVES) is Verdict.IN_PLACE:
        return replace(device, phase=Phase.UPDATED, why="it serves this release already")
    return failed_untouched(device, "it has this release already, but its engine is not ready")


# It was activated: in its soak, in doubt, on its way back.


def soaked(device: Device, end: Ended, rules: Rules) -> Device:
    """In its soak: well and over, well, unwell once, or unwell for good."""
    begun = device.soak_from
    assert begun is not None  # noqa: S101 - the phase says so
    if end.data.get("state") != TRIAL or end.data.get("release") != device.target:
        return replace(device, phase=Phase.UNKNOWN, due=0.0)
    before = device.soak
    device = replace(device, soak=progress(end.data, device.target))
    if rules.work is not None and device.soak is not None and device.soak.state == "failed":
        return unhealthy(device, f"in the soak: {device.soak.reason or 'its device gives no reason'}")
    generates = before is not None and device.soak is not None and device.soak.steps > before.steps
    verdict = judge_health(end.data, device.target, device.restarts, generates=generates)
    if device.restarts is None:  # also of an engine that is not well: it may be back before the next look
        device = replace(device, restarts=_restarts(end))
    if not verdict.good:
        strikes = device.strikes + 1
        if strikes < STRIKES:
            return replace(device, strikes=strikes, due=end.at + LOOK_SECONDS)
        return unhealthy(device, f"in the soak: {verdict.reason}")
    no_way_back = lacking(end)
    why = f"{device.why}; {no_way_back}" if no_way_back and no_way_back not in device.why else device.why
    well = replace(device, strikes=0, why=why)
    if rules.work is not None and (device.soak is None or device.soak.state != "done"):
        return _worked(well, end)
    finish = begun + rules.soak_seconds
    over = end.at >= finish
    return replace(
        well,
        phase=Phase.PASSED if over else Phase.SOAKING,
        due=0.0 if over else min(finish, end.at + SOAK_LOOK_SECONDS),
    )


def _worked(device: Device, end: Ended) -> Device:
    """Its soak's work goes on, or has to begin again."""
    soak = device.soak
    if soak is not None and soak.alive:
        left = SOAK_LOOK_SECONDS if soak.left_seconds is None else soak.left_seconds
        return replace(device, tries=0, due=end.at + min(max(left, SHORTEST_LOOK_SECONDS), SOAK_LOOK_SECONDS))
    if device.tries >= TRIES:
        return unhealthy(device, f"in the soak: its work ended {TRIES} times without a result")
    return replace(device, soak=None, tries=device.tries + 1, due=end.at)


def lacking(end: Ended) -> str | None:
    """What of the release that a rollback returns to is not on the device, in words; None: nothing known."""
    rollback = end.data.get("rollback")
    known = rollback if isinstance(rollback, dict) else {}
    gone = known.get("lacking")
    if not isinstance(gone, list) or not gone:
        return None
    return (
        f"it could not go back to {known.get('release')}, which lacks {', '.join(map(str, gone))}: a rollback"
        " pulls an image first, stage.yml with that release's profile brings all of it"
    )


def _restarts(end: Ended) -> int | None:
    engine = end.data.get("engine")
    count = engine.get("restarts") if isinstance(engine, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def confirmed(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    """Updated before this run: what somebody took back since is not well."""
    state, release = end.data.get("state"), end.data.get("release")
    if state not in {COMMITTED, EMPTY} or release == device.target:
        return device
    fault = f"somebody took it back after it was updated; it serves {release or 'nothing'}"
    return replace(device, phase=Phase.FAILED, fault=fault, why=fault, changed=False)


def reviewed(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    """Kept for review before this run: still so, accepted by a person, or ended."""
    state, release = end.data.get("state"), end.data.get("release")
    if state == TRIAL and release == device.target:
        return device
    if state == COMMITTED and release == device.target:
        why = f"a person accepted it: {device.fault}"
        return replace(device, phase=Phase.UPDATED, fault=None, why=why, changed=False)
    why = f"{device.fault}; its review ended; it serves {release or 'nothing'}"
    return replace(forget_trial(device), phase=Phase.FAILED, why=why)


def reconciled(device: Device, end: Ended, rules: Rules) -> Device:
    """The device's own word on what became of a step."""
    state, ours = end.data.get("state"), end.data.get("release") == device.target
    if state in {ACTIVATING, ROLLING_BACK}:
        return _at_work(device, end, rules)
    if state == TRIAL:
        return _still_on_trial(device, end, rules) if ours else _others(device, end)
    if state == COMMITTED and ours:
        if device.phase is Phase.ROLLBACK_UNVERIFIED or device.fault is not None:
            return roll_back_again(device, end)
        changed = is_ours(end.data, rules) is not False
        return replace(device, phase=Phase.UPDATED, changed=changed, why=device.why or "committed")
    if state in {COMMITTED, EMPTY}:
        return _back(device, end, rules)
    return replace(device, phase=Phase.UNREACHABLE, why=f"its state cannot be read: {state!r}", due=math.inf)


def _still_on_trial(device: Device, end: Ended, rules: Rules) -> Device:
    if is_ours(end.data, rules) is False:  # our own trial ended, and somebody began another
        if device.fault is not None:
            return _others(device, end)
        return absent(device, in_use_words(device.name, end.data), end.at)
    if isinstance(end.data.get("review_seconds_left"), int):
        return kept_for_review(device, end)
    if device.phase is Phase.ROLLBACK_UNVERIFIED or device.fault is not None or rules.stopped:
        return roll_back_again(device, end)
    trial_from = end.at if device.trial_from is None else device.trial_from
    phase = Phase.TRIAL if device.soak_from is None else Phase.SOAKING
    return replace(device, phase=phase, trial_from=trial_from, due=0.0)


def _others(device: Device, end: Ended) -> Device:
    fault = f"somebody else put {end.data.get('release')} on trial meanwhile: "
    fault += in_use_words(device.name, end.data)
    return replace(forget_trial(device), phase=Phase.FAILED, fault=fault, why=fault)


def _at_work(device: Device, end: Ended, rules: Rules) -> Device:
    """The device itself is at it: wait, but not for ever."""
    start = end.at if device.began_at is None else device.began_at
    since = device.refused_since if device.refused_since is not None else start
    waiting = replace(device, refused_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since <= rules.activate_seconds:
        return waiting
    fault = device.fault or f"{end.data.get('state')} for more than {rules.activate_seconds} s"
    return roll_back_again(replace(device, fault=fault), end)


def _back(device: Device, end: Ended, rules: Rules) -> Device:
    """It is committed to another release than ours, or to none."""
    calm = replace(forget_trial(device), due=0.0, refused_since=None, tries=0)
    if device.fault is not None:
        return _home(calm, end, device.fault)
    if device.phase is Phase.ROLLBACK_UNVERIFIED or rules.stopped:
        return _home(replace(calm, changed=False), end, "the rollout stopped")
    if device.since is not None and end.data.get("since") == device.since:
        return replace(calm, phase=Phase.STAGED, why="its activation had not begun")
    ends = device.trial_ends
    if ends is not None and end.at >= ends:
        return replace(calm, phase=Phase.STAGED, why="its trial ended while nobody watched")
    fault = (
        "it went back by itself before its deadline: a failed activation, a reboot, or somebody's rollback"
    )
    return _home(replace(calm, fault=fault), end, fault)


def _home(device: Device, end: Ended, why: str) -> Device:
    """Back on what it had, which is asked: the way back may have failed too, and its speed is known anew."""
    release, why = end.data.get("release"), why.rstrip(".")  # half a sentence now
    if not isinstance(release, str):
        return replace(device, phase=settled_as(device), why=f"{why}; it serves nothing, as before")
    return replace(device, phase=Phase.SMOKING_PREVIOUS, before=release, why=f"{why}; it serves {release}")


_LOOKS: dict[Phase, Callable[[Device, Ended, Rules], Device]] = {
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
