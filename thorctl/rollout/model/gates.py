"""Gates: whether a device is healthy and whether the next wave may begin, each with its reason.

An unknown value counts as unhealthy. A device that is unreachable before anything changed on it is absent,
not failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from thorctl.protocol.plural import counted, form
from thorctl.protocol.states import TRIAL

if TYPE_CHECKING:
    from thorctl.protocol.smoke import SmokeReport
    from thorctl.protocol.status import Status
    from thorctl.rollout.model.waves import PlannedWave
    from thorctl.rollout.policy import Policy, Speed


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one device."""

    good: bool
    reason: str


class Action(StrEnum):
    """The consequence for the rollout."""

    CONTINUE = "continue"
    WAIT = "wait"
    STOP = "stop"
    STOP_AND_RETURN = "stop and return"


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for a wave or the fleet."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of devices of a wave, or of the fleet, by result.

    Attributes:
        still: undecided.
        unfit: failed devices that never ran the release, because of a full disk for example.
    """

    well: int = 0
    failed: int = 0
    absent: int = 0
    still: int = 0
    unfit: int = 0

    @property
    def all(self) -> int:
        """The number of all its devices."""
        return self.well + self.failed + self.absent + self.still


def judge_smoke(report: SmokeReport | None, release: str) -> Verdict:
    """Evaluate the report of ``thor-agent smoke``, which must be of ``release``; None: unreadable."""
    if report is None:
        return Verdict(False, "the smoke test has no readable report")
    if report.release != release:
        return Verdict(False, f"the smoke test is of {report.release!r}, not of {release}")
    if not report.passed:
        return Verdict(False, "the smoke test does not report that it passed")
    return Verdict(True, f"{counted(len(report.generations), 'answer')} passed")


def judge_speed(speed: Speed | None, before: float | None, now: float | None, had_release: bool) -> Verdict:
    """Compare the speed of the new release's smoke test with that of the previous release.

    Args:
        speed: the policy's tolerance; None = no comparison.
        before: tokens per second of the previous release on this device; None = unknown.
        now: tokens per second of the new release; None = unknown.
        had_release: whether there was a previous release.
    """
    if speed is None:
        return Verdict(True, "the policy does not check the speed")
    if now is None or now <= 0:
        return Verdict(False, f"the speed is unknown: the smoke test reports {now}")
    if before is None or before <= 0:
        return _without_baseline(speed, now, had_release)
    least = before * (1 - speed.tolerance_percent / 100)
    words = f"{now:.1f} tok/s against {before:.1f} before"
    if now < least:
        return Verdict(False, f"too slow: {words}, at least {least:.1f} are required")
    return Verdict(True, words)


def _without_baseline(speed: Speed, now: float, had_release: bool) -> Verdict:
    if not had_release:
        return Verdict(True, f"{now:.1f} tok/s; there is no previous release to compare with")
    if speed.without_baseline == "accept":
        return Verdict(True, f"{now:.1f} tok/s; the previous speed is unknown, which the policy accepts")
    return Verdict(False, f"{now:.1f} tok/s, but the speed of the previous release is unknown")


def judge_health(status: Status, release: str, restarts: int | None, *, generates: bool = False) -> Verdict:
    """Evaluate the status of a device on trial.

    Args:
        status: data of ``thor-agent status``.
        release: the one that must be on trial.
        restarts: the engine's restarts before the soak; None = the soak begins with this observation.
        generates: whether it generated tokens since the last one, and may be too busy to answer at once.
    """
    state, found, engine = status.state, status.release, status.engine
    if state != TRIAL or found != release:
        return Verdict(False, f"it is no longer on trial with {release}: {state or 'state unknown'}, {found}")
    count = engine.restarts
    if count is None:
        return Verdict(False, "the number of its engine's restarts is unknown")
    if restarts is not None and count > restarts:
        return Verdict(
            False, f"its engine died and was restarted {counted(count - restarts, 'time')} in the soak"
        )
    if not (engine.ready or generates) or engine.unit != "active":
        return Verdict(False, f"its engine is not ready: unit {engine.unit or 'unknown'}")
    return Verdict(True, "on trial, engine ready")


def judge_fleet(policy: Policy, fleet: Count) -> Decision | None:
    """Return a stop if the failures of the fleet require one, else None."""
    percent, cap = policy.errors.stop_at_percent, policy.errors.stop_at_devices
    if cap is not None and fleet.failed >= cap:
        return _stop(policy, f"{counted(fleet.failed, 'device')} failed; the policy stops at {cap}")
    if percent is not None and fleet.failed and 100 * fleet.failed >= percent * fleet.all:
        share = 100 * fleet.failed / fleet.all
        failed = f"{fleet.failed} of {counted(fleet.all, 'device')} failed ({share:.0f} %)"
        return _stop(policy, f"{failed}; the policy stops at {percent:g} %")
    return None


def judge_wave(policy: Policy, wave: PlannedWave, here: Count, fleet: Count, *, canary: bool) -> Decision:
    """Decide whether the next wave may begin.

    A stop is decided as soon as the success threshold is out of reach, whatever the undecided devices do.
    The threshold rates the release, so only devices that ran it count; a canary device must be able to.
    """
    stopped = judge_fleet(policy, fleet)
    if stopped:
        return stopped
    failed = here.failed if canary else here.failed - here.unfit
    best = here.well + here.still
    if failed and 100 * best < wave.success_percent * (best + failed):
        reason = f"{failed} of {counted(best + failed, 'device')} of {_name(wave)} failed"
        return _stop(policy, f"{reason}; {wave.success_percent:g} % must be healthy")
    if here.still:
        return Decision(Action.WAIT, f"{counted(here.still, 'device')} of {_name(wave)} not decided yet")
    if canary and here.well == 0:
        return Decision(Action.WAIT, "no canary device was updated, all are absent")
    over = _over_budget(policy, fleet)
    if over:
        return Decision(Action.WAIT, over)
    tried = here.well + failed
    are = form(tried, "is", "are")
    found = f"{here.well} of {counted(tried, 'device')} of {_name(wave)} {are} healthy"
    if not tried:
        found = f"no device of {_name(wave)} was updated"
    unfit = f", {here.unfit} cannot run it" if here.unfit and not canary else ""
    absent = f", {here.absent} absent (caught up later)" if here.absent else ""
    return Decision(Action.CONTINUE, f"{found}{unfit}{absent}")


def _over_budget(policy: Policy, fleet: Count) -> str | None:
    budget, percent = policy.offline.budget_devices, policy.offline.budget_percent
    if budget is not None and fleet.absent > budget:
        return f"{counted(fleet.absent, 'device')} absent; the policy allows at most {budget}"
    if percent is not None and 100 * fleet.absent > percent * fleet.all:
        absent = f"{fleet.absent} of {counted(fleet.all, 'device')} absent"
        return f"{absent}; the policy allows at most {percent:g} %"
    return None


def _stop(policy: Policy, reason: str) -> Decision:
    return Decision(Action.STOP_AND_RETURN if policy.on_stop == "return" else Action.STOP, reason)


def _name(wave: PlannedWave) -> str:
    return "the canary" if wave.number == 1 else f"wave {wave.number}"
