"""What a device's own status makes of it. Pure.

After ``activate`` and ``rollback``, and after every step whose end nobody saw, the status has the last word.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl.rollout.device import Device, Phase, forget_trial
from thorctl.rollout.gate import judge_health
from thorctl.rollout.rules import (
    ABSENCES,
    ABSENT_LOOK_SECONDS,
    LOOK_SECONDS,
    SOAK_LOOK_SECONDS,
    STRIKES,
)
from thorctl.rollout.settle import (
    absent,
    again_back,
    failed_untouched,
    held,
    holder_of,
    may_wait_for_hold,
    reason_of,
    settled_as,
    unwell,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.rollout.rules import Ended, Rules


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
        seen, silent_since=None, leased=isinstance(lease, dict) and lease.get("holder") == rules.holder
    )
    judge = _LOOKS.get(device.phase)
    return judge(seen, end, rules) if judge else seen


def _unseen(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase in {Phase.NEW, Phase.ABSENT, Phase.HELD, Phase.LEASED}:
        if end.code in {"device_unreachable", "agent_timeout"}:
            return absent(device, f"offline: {end.message}", end.at)
        return failed_untouched(device, end.words)
    if device.phase is Phase.LOST:
        return replace(device, due=end.at + ABSENT_LOOK_SECONDS)
    since = end.at if device.silent_since is None else device.silent_since
    silent = replace(device, silent_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since < rules.wait.silence_seconds:
        return silent
    why = f"no usable answer for {end.at - since:.0f} s ({end.words}); its own deadline takes it back"
    return replace(silent, phase=Phase.LOST, why=f"{device.fault}; then {why}" if device.fault else why)


def _present(device: Device, end: Ended, rules: Rules) -> Device:
    """First seen, or seen again, and untouched by us."""
    status = end.data
    state, release = status.get("state"), status.get("release")
    if state == "committed" and release == device.target:
        return _there(device, status)
    if state in {"trial", "activating", "rolling-back"}:
        return absent(device, f"in use by others: {state}, {status.get('target') or release}", end.at)
    if state not in {"committed", "empty"}:
        return failed_untouched(device, f"its state cannot be read: {state!r}")
    hindrance = _hindrance(device, end, rules) if device.phase is Phase.ABSENT else None
    if hindrance:
        return absent(device, hindrance, end.at)
    if device.absences > ABSENCES:
        return replace(device, phase=Phase.ABSENT, due=math.inf)
    phase = Phase.STAGED if device.staged else Phase.CHECKING
    return replace(device, phase=phase, before=release, tries=0, due=0.0)


def _hindrance(device: Device, end: Ended, rules: Rules) -> str | None:
    """Why a device that is back would be absent again at once."""
    lease, hold = end.data.get("lease"), _hold(end.data)
    if hold is not None and hold != rules.over_hold and not may_wait_for_hold(device, end, rules):
        return f"on hold: {hold}"
    if lease and not device.leased:
        return f"leased by {holder_of(lease)}: {reason_of(lease)}"
    return None


def _prepared(device: Device, end: Ended, rules: Rules) -> Device:
    """The last look before the activation, under our lease: what it finds is what a failure returns to."""
    status = end.data
    seen = _present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    if not device.leased:
        return absent(device, "our lease was taken from us", end.at)
    hold = _hold(status)
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
        phase=Phase.READY if measured else Phase.MEASURE,
        before=release,
        since=since if isinstance(since, str) else None,
        had_release=release is not None,
        baseline=float(baseline) if isinstance(baseline, (int, float)) else None,
        refused_since=None,
        hold=hold,
        held_since=None,
    )


def _waiting_for_hold(device: Device, end: Ended, rules: Rules) -> Device:
    """A look at a device whose hold is waited for: gone, passed over, still there, or there for too long."""
    seen = _present(device, end, rules)
    if seen.phase not in {Phase.CHECKING, Phase.STAGED}:
        return seen
    hold = _hold(end.data)
    if hold is None or hold == rules.over_hold:
        return seen
    return held(device, hold, end, rules)


def _hold(status: Mapping[str, Any]) -> str | None:
    """The reason of the device's hold; None = it does not hold."""
    hold = status.get("hold")
    return reason_of(hold) if hold else None


def _there(device: Device, status: Mapping[str, Any]) -> Device:
    engine = status.get("engine")
    if isinstance(engine, dict) and engine.get("ready") is True:
        return replace(device, phase=Phase.DONE, why="it serves this release already")
    return failed_untouched(device, "it has this release already, but its engine is not ready")


def _soaked(device: Device, end: Ended, rules: Rules) -> Device:
    assert device.soak_from is not None  # noqa: S101 - the phase says so
    if end.data.get("state") != "trial" or end.data.get("release") != device.target:
        return replace(device, phase=Phase.DOUBT, due=0.0)
    verdict = judge_health(end.data, device.target, device.restarts)
    if not verdict.good:
        strikes = device.strikes + 1
        if strikes < STRIKES:
            return replace(device, strikes=strikes, due=end.at + LOOK_SECONDS)
        return unwell(device, f"in the soak: {verdict.reason}")
    well = replace(device, strikes=0)
    if device.restarts is None:
        well = replace(well, restarts=end.data["engine"]["restarts"])
    finish = device.soak_from + rules.soak_seconds
    if end.at >= finish:
        return replace(well, phase=Phase.PASSED, tries=0, due=0.0)
    return replace(well, due=min(finish, end.at + SOAK_LOOK_SECONDS))


def _reconciled(device: Device, end: Ended, rules: Rules) -> Device:
    """The device's own word on what became of a step."""
    state, ours = end.data.get("state"), end.data.get("release") == device.target
    if state in {"activating", "rolling-back"}:
        return _at_work(device, end, rules)
    if state == "trial":
        return _still_on_trial(device, end, rules) if ours else _others(device, end)
    if state == "committed" and ours:
        if device.phase is Phase.LEFT or device.fault is not None:
            return again_back(device, end)
        return replace(device, phase=Phase.DONE, changed=True, why=device.why or "committed")
    if state in {"committed", "empty"}:
        return _back(device, end, rules)
    return replace(device, phase=Phase.LOST, why=f"its state cannot be read: {state!r}", due=math.inf)


def _still_on_trial(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase is Phase.LEFT or device.fault is not None or rules.stopped:
        return again_back(device, end)
    trial_from = end.at if device.trial_from is None else device.trial_from
    phase = Phase.TRIAL if device.soak_from is None else Phase.SOAKING
    return replace(device, phase=phase, trial_from=trial_from, due=0.0)


def _others(device: Device, end: Ended) -> Device:
    fault = f"somebody else put {end.data.get('release')} on trial meanwhile"
    return replace(forget_trial(device), phase=Phase.FAILED, fault=fault, why=fault)


def _at_work(device: Device, end: Ended, rules: Rules) -> Device:
    """The device itself is at it: wait, but not for ever."""
    start = end.at if device.began_at is None else device.began_at
    since = device.refused_since if device.refused_since is not None else start
    waiting = replace(device, refused_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since <= rules.activate_seconds:
        return waiting
    fault = device.fault or f"{end.data.get('state')} for more than {rules.activate_seconds} s"
    return again_back(replace(device, fault=fault), end)


def _back(device: Device, end: Ended, rules: Rules) -> Device:
    """It is committed to another release than ours, or to none."""
    calm = replace(forget_trial(device), due=0.0, refused_since=None, tries=0)
    if device.fault is not None:
        return _home(calm, end, device.fault)
    if device.phase is Phase.LEFT or rules.stopped:
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
    release = end.data.get("release")
    if not isinstance(release, str):
        return replace(device, phase=settled_as(device), why=f"{why}; it serves nothing, as before")
    return replace(device, phase=Phase.BACK, before=release, why=f"{why}; it serves {release}")


_LOOKS: dict[Phase, Callable[[Device, Ended, Rules], Device]] = {
    Phase.NEW: _present,
    Phase.ABSENT: _present,
    Phase.HELD: _waiting_for_hold,
    Phase.LEASED: _prepared,
    Phase.SOAKING: _soaked,
    Phase.DOUBT: _reconciled,
    Phase.LEFT: _reconciled,
    Phase.LOST: _reconciled,
}
