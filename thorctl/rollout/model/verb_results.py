"""State transitions on a verb's result. An inconclusive result requires an observation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.protocol.jobs import INTERRUPTED
from thorctl.protocol.lease import LeaseShown
from thorctl.protocol.preflight import PreflightReport
from thorctl.protocol.results import Activated, Committed, Reviewed, Staged
from thorctl.protocol.smoke import SmokeReport
from thorctl.protocol.states import COMMITTED, TRIAL
from thorctl.protocol.status import SoakShown
from thorctl.rollout.model.device import Device, forget_trial
from thorctl.rollout.model.gates import judge_smoke, judge_speed
from thorctl.rollout.model.outcomes import (
    absent,
    failed_untouched,
    held,
    kept_for_review,
    reason_of,
    refusal_words,
    refused,
    rollback_failed,
    settled_as,
    unhealthy,
)
from thorctl.rollout.model.phases import PREPARED, Phase
from thorctl.rollout.model.rules import ABSENT_LOOK_SECONDS, LOOK_SECONDS, TRIES, UNHEALTHY
from thorctl.rollout.model.soak import of_release

if TYPE_CHECKING:
    from thorctl.rollout.model.rules import Ended, Rules


def preflight_ended(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    """Return the device after ``preflight``, which precedes the download.

    It is repeated: Docker may be restarting, or a booted device may not have a synchronised clock yet.
    """
    report = end.told(PreflightReport)
    if report and report.release == device.target:
        return replace(device, phase=Phase.STAGING, tries=0, due=0.0)
    if end.ok:
        return failed_untouched(device, f"preflight: it is of {report.release if report else None!r}")
    if end.unanswered:
        return absent(device, f"offline: {end.message}", end.at)
    if end.code != "preflight_failed":
        return failed_untouched(device, end.words)
    if device.tries + 1 < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS, why=end.message)
    return failed_untouched(device, end.message)


def stage_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``stage``."""
    staged = end.told(Staged)
    if staged and staged.release == device.target:
        return replace(device, phase=Phase.STAGED, staged=True, tries=0, refused_since=None, due=0.0)
    if end.ok:
        return failed_untouched(device, f"staging: it is of {staged.release if staged else None!r}")
    if end.code in {"busy", "leased"}:
        return refused(device, end, rules)
    passing = end.passing or end.code == INTERRUPTED
    if passing and device.tries + 1 < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + end.retry_seconds, why=end.words)
    if end.unanswered:
        return absent(device, f"offline: {end.message}", end.at)
    return failed_untouched(device, f"staging: {end.words}")


def take_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``lease take``."""
    recalled = device.phase is Phase.ROLLBACK_REQUESTED
    shown = end.told(LeaseShown)
    if shown and shown.lease and str(shown.lease.owner) == rules.holder:
        phase = Phase.ROLLING_BACK if recalled else Phase.LEASED
        return replace(device, phase=phase, leased=True, refused_since=None, due=0.0)
    if end.code in {"busy", "leased"}:
        return refused(replace(device, leased=False), end, rules)
    if recalled:
        return rollback_failed(device, end)
    if end.unanswered:
        return absent(device, f"offline: {end.message}", end.at)
    return failed_untouched(device, f"its lease: {end.words}")


def activate_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``activate``."""
    activated = end.told(Activated)
    if activated and (activated.state, activated.release) == (TRIAL, device.target):
        return replace(device, phase=Phase.TRIAL, trial_from=end.at, tries=0, refused_since=None, due=0.0)
    if end.ok or end.unanswered:
        return replace(device, phase=Phase.UNKNOWN, silent_since=None, due=end.at)
    untouched = forget_trial(device)
    if end.code == "held":
        return held(untouched, reason_of(end.known.hold), end.at, rules)
    if end.code in {"busy", "leased"}:
        return refused(replace(untouched, phase=Phase.LEASED), end, rules)
    if end.code == "not_staged" and not device.restaged:
        return replace(untouched, phase=Phase.STAGING, staged=False, restaged=True, why=end.words)
    return replace(
        device,
        phase=Phase.ROLLBACK_UNVERIFIED,
        fault=f"activation: {end.words}",
        silent_since=None,
        due=end.at,
    )


def smoke_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``smoke`` of its present, new or restored release."""
    if device.phase is Phase.SMOKING_PREVIOUS:
        return _asked_back(device, end)
    if device.phase is Phase.MEASURING:
        return _measured(device, end, rules)
    if device.began_at is None:
        return device  # its activation was cancelled meanwhile
    return _tried(device, end, rules)


def _measured(device: Device, end: Ended, rules: Rules) -> Device:
    """Evaluate the smoke test of the present release, the baseline for the new one's speed."""
    if end.code in {"busy", "leased"}:
        return refused(replace(device, phase=Phase.LEASED), end, rules)
    if end.unanswered:
        return absent(device, f"offline: {end.message}", end.at)
    report = end.told(SmokeReport)
    known = report is not None and report.release == device.before and report.passed
    baseline = report.tokens_per_second if report and known else None
    return replace(device, phase=Phase.READY, baseline=baseline, due=0.0)


def _asked_back(device: Device, end: Ended) -> Device:
    """Evaluate the smoke test of the restored release; its result is shown only."""
    if end.code == "busy" and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    report = end.told(SmokeReport)
    passed = end.ok and device.before is not None and judge_smoke(report, device.before).good
    found = f"its smoke test was inconclusive: {end.words}"
    if passed:
        speed = report.tokens_per_second if report else None
        found = "which passes its smoke test" + (f" at {speed:.1f} tok/s" if speed is not None else "")
    if end.code in UNHEALTHY:
        found = f"its smoke test failed too: {end.message}"
    return replace(device, phase=settled_as(device), why=f"{device.why}, {found}", tries=0, due=0.0)


def _tried(device: Device, end: Ended, rules: Rules) -> Device:
    """Evaluate the smoke test of the release on trial."""
    if end.ok:
        report = end.told(SmokeReport)
        smoke = judge_smoke(report, device.target)
        if not smoke.good:
            return unhealthy(device, smoke.reason)
        now = report.tokens_per_second if report else None
        speed = judge_speed(rules.speed, device.baseline, now, device.had_release)
        if not speed.good:
            return unhealthy(device, speed.reason)
        return replace(
            device,
            phase=Phase.SOAKING,
            soak_from=end.at,
            restarts=None,
            soak=None,
            strikes=0,
            tries=0,
            refused_since=None,
            speed=now,
            why=f"{smoke.reason}, {speed.reason}",
            due=end.at,
        )
    wished = rules.review_seconds > 0 and not rules.stopped and not device.had_release
    if end.code == "smoke_failed" and wished:
        return replace(
            device, phase=Phase.REVIEW_REQUESTED, why=end.words, tries=0, refused_since=None, due=0.0
        )
    if end.code in UNHEALTHY:
        return unhealthy(device, end.words)
    return _doubted(device, end, rules, "the smoke test")


def review_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``review``: a failed first release is kept on trial, or rolled back.

    If the result is unknown, the device is observed and its smoke test repeated.
    """
    kept = end.told(Reviewed)
    if kept and (kept.state, kept.release) == (TRIAL, device.target):
        return kept_for_review(device, kept.deadline)
    if end.ok or end.unanswered or end.code in {"busy", "leased"}:
        return _doubted(device, end, rules, "keeping it for review")
    return unhealthy(device, f"{device.why}; it could not be kept for review: {end.words}")


def soak_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``soak start``: its load runs, or is complete from an earlier controller."""
    shown = end.told(SoakShown)
    begun = of_release(shown.soak, device.target) if shown else None
    if begun is None:
        return _doubted(device, end, rules, "the start of the soak's load")
    return replace(device, soak=begun, refused_since=None, due=end.at)


def commit_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``commit``."""
    committed = end.told(Committed)
    if committed and (committed.state, committed.release) == (COMMITTED, device.target):
        return replace(device, phase=Phase.UPDATED, changed=True, tries=0)
    return _doubted(device, end, rules, "the commit")


def _doubted(device: Device, end: Ended, rules: Rules, what: str) -> Device:
    """Handle an inconclusive step of a trial: observe the device, then repeat the step."""
    if end.code in {"busy", "leased"}:  # our own verb may still run after a disconnect
        since = end.at if device.refused_since is None else device.refused_since
        if end.at - since < rules.activate_seconds:
            return replace(device, phase=Phase.UNKNOWN, refused_since=since, due=end.at + LOOK_SECONDS)
    tries = device.tries + 1
    if tries > TRIES:
        said = "an empty answer" if end.ok else end.words
        return unhealthy(device, f"{what} had no result in {TRIES} attempts: {said}")
    due = end.at + LOOK_SECONDS if end.code in {"busy", "leased"} else end.at
    return replace(device, phase=Phase.UNKNOWN, tries=tries, due=due)


def rollback_ended(device: Device, end: Ended, rules: Rules) -> Device:
    """Return the device after ``rollback``."""
    if end.code in {"busy", "leased"}:
        since = end.at if device.refused_since is None else device.refused_since
        if end.at - since < rules.activate_seconds:
            return replace(device, refused_since=since, due=end.at + LOOK_SECONDS)
        why = f"{device.fault or 'its rollback was ordered'}; refused: {refusal_words(device.name, end)}"
        return replace(device, phase=Phase.UNREACHABLE, why=why, due=end.at + ABSENT_LOOK_SECONDS)
    # Whatever the answer: an observation follows.
    return replace(device, phase=Phase.ROLLBACK_UNVERIFIED, silent_since=None, due=end.at)


def give_ended(device: Device, end: Ended, rules: Rules) -> Device:  # noqa: ARG001 - as all of them
    """Return the device after ``lease give``."""
    if end.code == "busy" and device.tries < TRIES:
        return replace(device, tries=device.tries + 1, due=end.at + LOOK_SECONDS)
    phase = Phase.STAGED if device.phase in PREPARED else device.phase
    # Released, another holder's by now, or about to expire.
    return replace(device, phase=phase, leased=False, tries=0)
