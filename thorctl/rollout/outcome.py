"""What a step's answer makes of a device. Pure: device, answer and rules in, device out.

Whatever an answer leaves open makes the device one to look at, never one to trust. Only ``activate`` and
``rollback`` change what a device serves; after either the device's own status has the last word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thorctl.rollout.device import ON_TRIAL, PREPARED, Device, Phase, forget_trial
from thorctl.rollout.gate import judge_health, judge_smoke, judge_speed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.rollout.policy import Speed, Wait

LOOK_SECONDS = 15.0  # until a device in doubt, or one in use, is asked again
SOAK_LOOK_SECONDS = 60.0  # between two looks in a soak
ABSENT_LOOK_SECONDS = 300.0  # between two looks at an absent device
STRIKES = 2  # one look may find an engine too busy to answer
TRIES = 3
ABSENCES = 5  # a device that comes and goes more often than this in one run is left for the next

# What the reason of a lease begins with that a rollout took: it ends without anybody's help.
AUTOMATIC = "rollout "
# The device was not asked, or nobody knows what it did.
_UNANSWERED = frozenset({"device_unreachable", "agent_timeout", "agent_garbage"})
_PASSING = frozenset({"download_interrupted", "image_pull_failed", "docker_unavailable"})
_UNWELL = frozenset({"smoke_failed", "engine_not_ready", "engine_died"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What a device is judged by.

    Attributes:
        holder: who holds our leases.
        soak_seconds: of its wave.
        activate_seconds: the longest an activation may take, its undoing included.
        stopped: whether the rollout has stopped.
        returns: whether devices that are committed already return.
    """

    holder: str
    soak_seconds: int
    activate_seconds: int
    speed: Speed | None
    wait: Wait
    stopped: bool = False
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A step's end. ``details``: of the agent's error."""

    at: float
    ok: bool
    reached: bool = True
    code: str = ""
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unanswered(self) -> bool:
        """Whether nobody knows what the step did."""
        return not self.ok and (not self.reached or self.code in _UNANSWERED)

    @property
    def words(self) -> str:
        """The error as people read it."""
        return f"{self.code}: {self.message}"


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
    if verb in {"activate", "smoke", "commit"} and device.phase not in {Phase.BACK, Phase.MEASURE}:
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


def resumed(device: Device) -> Device:
    """The device at the begin of another run: what was under way is looked at first."""
    fresh = replace(
        device,
        due=0.0,
        looked_at=0.0,
        silent_since=None,
        refused_since=None,
        absences=0,
        tries=0,
        strikes=0,
    )
    if device.phase in ON_TRIAL or device.phase is Phase.LOST:
        return replace(fresh, phase=Phase.DOUBT)
    if device.phase in PREPARED:
        return replace(fresh, phase=Phase.STAGED)
    if device.phase is Phase.STUCK:
        return replace(fresh, phase=Phase.RECALLED)
    return fresh


def _looked(device: Device, end: Ended, rules: Rules) -> Device:
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
    if device.phase in {Phase.NEW, Phase.ABSENT, Phase.LEASED}:
        if end.code in {"device_unreachable", "agent_timeout"}:
            return _absent(device, f"offline: {end.message}", end.at)
        return _failed_untouched(device, end.words)
    if device.phase is Phase.LOST:
        return replace(device, due=end.at + ABSENT_LOOK_SECONDS)
    since = end.at if device.silent_since is None else device.silent_since
    silent = replace(device, silent_since=since, due=end.at + LOOK_SECONDS)
    if end.at - since < rules.wait.silence_seconds:
        return silent
    why = f"no usable answer for {end.at - since:.0f} s ({end.words}); its own deadline takes it back"
    return replace(silent, phase=Phase.LOST, why=f"{device.fault}; then {why}" if device.fault else why)


def _present(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    """First seen, or seen again, and untouched by us."""
    status = end.data
    state, release = status.get("state"), status.get("release")
    if state == "committed" and release == device.target:
        return _there(device, status)
    if state in {"trial", "activating", "rolling-back"}:
        return _absent(device, f"in use by others: {state}, {status.get('target') or release}", end.at)
    if state not in {"committed", "empty"}:
        return _failed_untouched(device, f"its state cannot be read: {state!r}")
    hindrance = _hindrance(device, status) if device.phase is Phase.ABSENT else None
    if hindrance:
        return _absent(device, hindrance, end.at)
    if device.absences > ABSENCES:
        return replace(device, phase=Phase.ABSENT, due=math.inf)
    phase = Phase.STAGED if device.staged else Phase.STAGING
    return replace(device, phase=phase, before=release, tries=0, due=0.0)


def _hindrance(device: Device, status: Mapping[str, Any]) -> str | None:
    """Why a device that is back would be absent again at once."""
    lease, hold = status.get("lease"), status.get("hold")
    if hold:
        return f"on hold: {_reason(hold)}"
    if lease and not device.leased:
        return f"leased by {_holder(lease)}: {_reason(lease)}"
    return None


def _prepared(device: Device, end: Ended, rules: Rules) -> Device:
    """The last look before the activation, under our lease: what it finds is what a failure returns to."""
    status = end.data
    seen = _present(device, end, rules)
    if seen.phase not in {Phase.STAGING, Phase.STAGED}:
        return seen
    if not device.leased:
        return _absent(device, "our lease was taken from us", end.at)
    if status.get("hold"):
        return _absent(device, f"on hold: {_reason(status['hold'])}", end.at)
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
    )


def _measured(device: Device, end: Ended, rules: Rules) -> Device:
    """A smoke test of the release it has: without it nobody could say that the new one is slower."""
    if end.code in {"busy", "leased"}:
        return _refused(replace(device, phase=Phase.LEASED), end, rules)
    if end.unanswered:
        return _absent(device, f"offline: {end.message}", end.at)
    speed = end.data.get("tokens_per_second")
    known = end.ok and end.data.get("release") == device.before and end.data.get("passed") is True
    number = known and isinstance(speed, (int, float)) and not isinstance(speed, bool)
    return replace(device, phase=Phase.READY, baseline=float(speed) if number else None, due=0.0)  # type: ignore[arg-type]


def _there(device: Device, status: Mapping[str, Any]) -> Device:
    engine = status.get("engine")
    if isinstance(engine, dict) and engine.get("ready") is True:
        return replace(device, phase=Phase.DONE, why="it serves this release already")
    return _failed_untouched(device, "it has this release already, but its engine is not ready")


def _soaked(device: Device, end: Ended, rules: Rules) -> Device:
    assert device.soak_from is not None  # noqa: S101 - the phase says so
    if end.data.get("state") != "trial" or end.data.get("release") != device.target:
        return replace(device, phase=Phase.DOUBT, due=0.0)
    verdict = judge_health(end.data, device.target, device.restarts)
    if not verdict.good:
        strikes = device.strikes + 1
        if strikes < STRIKES:
            return replace(device, strikes=strikes, due=end.at + LOOK_SECONDS)
        return _unwell(device, f"in the soak: {verdict.reason}")
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
            return _again_back(device, end)
        return replace(device, phase=Phase.DONE, changed=True, why=device.why or "committed")
    if state in {"committed", "empty"}:
        return _back(device, end, rules)
    return replace(device, phase=Phase.LOST, why=f"its state cannot be read: {state!r}", due=math.inf)


def _still_on_trial(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase is Phase.LEFT or device.fault is not None or rules.stopped:
        return _again_back(device, end)
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
    return _again_back(replace(device, fault=fault), end)


def _again_back(device: Device, end: Ended) -> Device:
    if device.tries >= TRIES:
        why = f"{device.fault or 'it was to return'}; it did not go back in {TRIES} attempts"
        return replace(device, phase=Phase.LOST, why=why, due=end.at + ABSENT_LOOK_SECONDS)
    return replace(
        device,
        phase=Phase.RETURNING,
        tries=device.tries + 1,
        due=end.at if device.tries == 0 else end.at + LOOK_SECONDS,
    )


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
        return replace(device, phase=_settled(device), why=f"{why}; it serves nothing, as before")
    return replace(device, phase=Phase.BACK, before=release, why=f"{why}; it serves {release}")


def _settled(device: Device) -> Phase:
    return Phase.RETURNED if device.fault is None else Phase.FAILED


def _asked_back(device: Device, end: Ended) -> Device:
    """The smoke test of what it went back to: worth knowing, and nothing more is done by ourselves."""
    if end.code == "busy" and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    passed = end.ok and device.before is not None and judge_smoke(end.data, device.before).good
    found = "which passes its smoke test" if passed else f"BUT IT COULD NOT BE SEEN TO ANSWER: {end.words}"
    if end.code in _UNWELL:
        found = f"BUT THAT FAILS ITS SMOKE TEST TOO: {end.message}"
    return replace(device, phase=_settled(device), why=f"{device.why}, {found}", tries=0, due=0.0)


def _stage_ended(device: Device, end: Ended, rules: Rules) -> Device:
    if end.ok and end.data.get("release") == device.target:
        return replace(device, phase=Phase.STAGED, staged=True, tries=0, refused_since=None, due=0.0)
    if end.ok:
        return _failed_untouched(device, f"staging: it speaks of {end.data.get('release')!r}")
    if end.code in {"busy", "leased"}:
        return _refused(device, end, rules)
    if end.unanswered:
        return _absent(device, f"offline: {end.message}", end.at)
    if end.code in _PASSING and device.tries + 1 < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS, why=end.words)
    return _failed_untouched(device, f"staging: {end.words}")


def _take_ended(device: Device, end: Ended, rules: Rules) -> Device:
    recalled = device.phase is Phase.RECALLED
    lease = end.data.get("lease")
    if end.ok and isinstance(lease, dict) and lease.get("holder") == rules.holder:
        phase = Phase.RETURNING if recalled else Phase.LEASED
        return replace(device, phase=phase, leased=True, refused_since=None, due=0.0)
    if end.code in {"busy", "leased"}:
        return _refused(replace(device, leased=False), end, rules)
    if recalled:
        return _stuck(device, end)
    if end.unanswered:
        return _absent(device, f"offline: {end.message}", end.at)
    return _failed_untouched(device, f"its lease: {end.words}")


def _activate_ended(device: Device, end: Ended, rules: Rules) -> Device:
    if end.ok and end.data.get("state") == "trial" and end.data.get("release") == device.target:
        return replace(device, phase=Phase.TRIAL, trial_from=end.at, tries=0, refused_since=None, due=0.0)
    if end.ok or end.unanswered:
        return replace(device, phase=Phase.DOUBT, silent_since=None, due=end.at)
    untouched = forget_trial(device)
    if end.code == "held":
        return _absent(untouched, f"on hold: {end.message}", end.at)
    if end.code in {"busy", "leased"}:
        return _refused(replace(untouched, phase=Phase.LEASED), end, rules)
    if end.code == "not_staged" and device.tries < 1:
        return replace(untouched, phase=Phase.STAGING, staged=False, tries=device.tries + 1, why=end.words)
    return replace(device, phase=Phase.LEFT, fault=f"activation: {end.words}", silent_since=None, due=end.at)


def _smoke_ended(device: Device, end: Ended, rules: Rules) -> Device:
    if device.phase is Phase.BACK:
        return _asked_back(device, end)
    if device.phase is Phase.MEASURE:
        return _measured(device, end, rules)
    if device.began_at is None:
        return device  # measured for an activation that will not be
    return _tried(device, end, rules)


def _tried(device: Device, end: Ended, rules: Rules) -> Device:
    """The smoke test of the release on trial."""
    if end.ok:
        smoke = judge_smoke(end.data, device.target)
        if not smoke.good:
            return _unwell(device, smoke.reason)
        now = end.data.get("tokens_per_second")
        speed = judge_speed(rules.speed, device.baseline, now, device.had_release)
        if not speed.good:
            return _unwell(device, speed.reason)
        known = isinstance(now, (int, float)) and not isinstance(now, bool)
        return replace(
            device,
            phase=Phase.SOAKING,
            soak_from=end.at,
            restarts=None,
            strikes=0,
            tries=0,
            refused_since=None,
            speed=float(now) if known else None,  # type: ignore[arg-type]
            why=f"{smoke.reason}, {speed.reason}",
            due=end.at,
        )
    if end.code in _UNWELL:
        return _unwell(device, end.words)
    return _doubted(device, end, rules, "the smoke test")


def _commit_ended(device: Device, end: Ended, rules: Rules) -> Device:
    if end.ok and end.data.get("state") == "committed" and end.data.get("release") == device.target:
        return replace(device, phase=Phase.DONE, changed=True, tries=0)
    return _doubted(device, end, rules, "the commit")


def _doubted(device: Device, end: Ended, rules: Rules, what: str) -> Device:
    """A step on trial that did not say what it should: look, and if the device is there, do it again."""
    if end.code in {"busy", "leased"}:  # our own verb, cut off from us, may still be at work there
        since = end.at if device.refused_since is None else device.refused_since
        if end.at - since < rules.activate_seconds:
            return replace(device, phase=Phase.DOUBT, refused_since=since, due=end.at + LOOK_SECONDS)
    tries = device.tries + 1
    if tries > TRIES:
        said = "an answer that says nothing" if end.ok else end.words
        return _unwell(device, f"{what} gave no result in {TRIES} attempts: {said}")
    return replace(device, phase=Phase.DOUBT, tries=tries, due=end.at)


def _rollback_ended(device: Device, end: Ended, rules: Rules) -> Device:
    if end.code in {"busy", "leased"}:
        since = end.at if device.refused_since is None else device.refused_since
        if end.at - since < rules.activate_seconds:
            return replace(device, refused_since=since, due=end.at + LOOK_SECONDS)
        why = f"{device.fault or 'it was to return'}; refused: {end.message}"
        return replace(device, phase=Phase.LOST, why=why, due=end.at + ABSENT_LOOK_SECONDS)
    # Whatever it said: the device is looked at.
    return replace(device, phase=Phase.LEFT, silent_since=None, due=end.at)


def _give_ended(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    if end.code == "busy" and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    return replace(device, leased=False, tries=0)  # given back, another's by now, or it expires by itself


def _refused(device: Device, end: Ended, rules: Rules) -> Device:
    """Others use the device. Work is waited for, so is another rollout's lease; one taken by hand never."""
    since = end.at if device.refused_since is None else device.refused_since
    lease = end.details.get("lease")
    by_hand = end.code == "leased" and not (
        isinstance(lease, dict) and str(lease.get("reason") or "").startswith(AUTOMATIC)
    )
    if not by_hand and end.at - since < rules.wait.lease_seconds:
        phase = Phase.STAGED if device.phase is Phase.LEASED else device.phase
        return replace(device, phase=phase, refused_since=since, due=end.at + LOOK_SECONDS, why=end.message)
    if device.phase is Phase.RECALLED:
        return _stuck(device, end)
    return _absent(device, end.message, end.at)


def _stuck(device: Device, end: Ended) -> Device:
    if end.unanswered and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    return replace(device, phase=Phase.STUCK, why=f"it keeps the new release: {end.words}")


def _unwell(device: Device, fault: str) -> Device:
    return replace(device, phase=Phase.RETURNING, fault=fault, why=fault, tries=0, due=0.0)


def _absent(device: Device, why: str, at: float) -> Device:
    return replace(
        forget_trial(device),
        phase=Phase.ABSENT,
        why=why,
        due=at + ABSENT_LOOK_SECONDS,
        refused_since=None,
        tries=0,
        absences=device.absences + (device.phase is not Phase.ABSENT),
    )


def _failed_untouched(device: Device, why: str) -> Device:
    return replace(device, phase=Phase.FAILED, fault=why, why=f"{why}; nothing was changed on it")


def _reason(entry: object) -> str:
    return str(entry.get("reason") or "no reason given") if isinstance(entry, dict) else "?"


def _holder(lease: object) -> str:
    return str(lease.get("holder")) if isinstance(lease, dict) else "?"


_LOOKS: dict[Phase, Callable[[Device, Ended, Rules], Device]] = {
    Phase.NEW: _present,
    Phase.ABSENT: _present,
    Phase.LEASED: _prepared,
    Phase.SOAKING: _soaked,
    Phase.DOUBT: _reconciled,
    Phase.LEFT: _reconciled,
    Phase.LOST: _reconciled,
}
_ENDS: dict[str, Callable[[Device, Ended, Rules], Device]] = {
    "look": _looked,
    "stage": _stage_ended,
    "take": _take_ended,
    "activate": _activate_ended,
    "smoke": _smoke_ended,
    "commit": _commit_ended,
    "rollback": _rollback_ended,
    "give": _give_ended,
}
