"""Decisions: is this device well, does the next wave begin? Pure; every answer carries its reason in words.

Unknown is not well. A device that could not be reached before anything changed on it is absent, not failed.
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
    """About one device."""

    good: bool
    reason: str


class Action(StrEnum):
    """What follows for the rollout."""

    GO_ON = "go on"
    WAIT = "wait"
    STOP = "stop"
    STOP_AND_RETURN = "stop and return"


@dataclass(frozen=True, slots=True)
class Decision:
    """About a wave or the fleet."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Count:
    """How the devices of a wave, or of the fleet, stand.

    Attributes:
        still: not decided yet.
        unfit: those of the failed on which the release was never tried, such as for want of room.
    """

    well: int = 0
    failed: int = 0
    absent: int = 0
    still: int = 0
    unfit: int = 0

    @property
    def all(self) -> int:
        """Every device of it."""
        return self.well + self.failed + self.absent + self.still


def judge_smoke(report: SmokeReport | None, release: str) -> Verdict:
    """What ``thor-agent smoke`` found, as long as it speaks of this release; None: an unreadable answer."""
    if report is None:
        return Verdict(False, "the smoke test has no readable report")
    if report.release != release:
        return Verdict(False, f"the smoke test speaks of {report.release!r}, not of {release}")
    if not report.passed:
        return Verdict(False, "the smoke test does not say that it passed")
    return Verdict(True, f"{counted(len(report.generations), 'answer')} passed")


def judge_speed(speed: Speed | None, before: float | None, now: float | None, had_release: bool) -> Verdict:
    """Tokens per second of the new release's smoke test against that of the release before.

    Args:
        speed: the policy's tolerance; None = not judged.
        before: what the same device made with the release before; None = not known.
        now: what it makes now; None = not known.
        had_release: whether there was a release before.
    """
    if speed is None:
        return Verdict(True, "speed is not judged by this policy")
    if now is None or now <= 0:
        return Verdict(False, f"the speed is not known: the smoke test says {now}")
    if before is None or before <= 0:
        return _without_baseline(speed, now, had_release)
    least = before * (1 - speed.tolerance_percent / 100)
    words = f"{now:.1f} tok/s against {before:.1f} before"
    if now < least:
        return Verdict(False, f"too slow: {words}, at least {least:.1f} are asked for")
    return Verdict(True, words)


def _without_baseline(speed: Speed, now: float, had_release: bool) -> Verdict:
    if not had_release:
        return Verdict(True, f"{now:.1f} tok/s; nothing served before to compare with")
    if speed.without_baseline == "accept":
        return Verdict(True, f"{now:.1f} tok/s; the speed before is not known, which the policy accepts")
    return Verdict(False, f"{now:.1f} tok/s, but the speed of the release before is not known")


def judge_health(status: Status, release: str, restarts: int | None, *, generates: bool = False) -> Verdict:
    """Whether a device on trial is well, from its status.

    Args:
        status: data of ``thor-agent status``.
        release: the one that must be on trial.
        restarts: how often its engine had been restarted when the soak began; None = this look begins it.
        generates: whether it made tokens since the last look: then it may be too busy to answer at once.
    """
    state, found, engine = status.state, status.release, status.engine
    if state != TRIAL or found != release:
        return Verdict(False, f"it is no longer on trial with {release}: {state or 'state unknown'}, {found}")
    count = engine.restarts
    if count is None:
        return Verdict(False, "it is not known how often its engine was restarted")
    if restarts is not None and count > restarts:
        return Verdict(
            False, f"its engine died and was restarted {counted(count - restarts, 'time')} in the soak"
        )
    if not (engine.ready or generates) or engine.unit != "active":
        return Verdict(False, f"its engine is not ready: unit {engine.unit or 'unknown'}")
    return Verdict(True, "on trial, engine ready")


def judge_fleet(policy: Policy, fleet: Count) -> Decision | None:
    """Whether the failures of the whole fleet stop the rollout; None: they do not."""
    percent, cap = policy.errors.stop_at_percent, policy.errors.stop_at_devices
    if cap is not None and fleet.failed >= cap:
        return _stop(policy, f"{counted(fleet.failed, 'device')} failed; the policy stops at {cap}")
    if percent is not None and fleet.failed and 100 * fleet.failed >= percent * fleet.all:
        share = 100 * fleet.failed / fleet.all
        failed = f"{fleet.failed} of {counted(fleet.all, 'device')} failed ({share:.0f} %)"
        return _stop(policy, f"{failed}; the policy stops at {percent:g} %")
    return None


def judge_wave(policy: Policy, wave: PlannedWave, here: Count, fleet: Count, *, canary: bool) -> Decision:
    """Whether the next wave may begin.

    A stop comes as soon as it is certain: when even a good end of all others would not reach the success
    threshold any more. That one judges the release, so it counts who tried it; a canary has to be able to.
    """
    stopped = judge_fleet(policy, fleet)
    if stopped:
        return stopped
    failed = here.failed if canary else here.failed - here.unfit
    best = here.well + here.still
    if failed and 100 * best < wave.success_percent * (best + failed):
        reason = f"{failed} of {counted(best + failed, 'device')} of {_name(wave)} failed"
        return _stop(policy, f"{reason}; {wave.success_percent:g} % must be well")
    if here.still:
        return Decision(Action.WAIT, f"{counted(here.still, 'device')} of {_name(wave)} not decided yet")
    if canary and here.well == 0:
        return Decision(Action.WAIT, "no canary could be tried: an absent one proves nothing")
    over = _over_budget(policy, fleet)
    if over:
        return Decision(Action.WAIT, over)
    tried = here.well + failed
    are = form(tried, "is", "are")
    found = f"{here.well} of {counted(tried, 'device')} of {_name(wave)} {are} well"
    if not tried:
        found = f"no device of {_name(wave)} was tried"
    unfit = f", {here.unfit} cannot take it" if here.unfit and not canary else ""
    absent = f", {here.absent} absent (caught up later)" if here.absent else ""
    return Decision(Action.GO_ON, f"{found}{unfit}{absent}")


def _over_budget(policy: Policy, fleet: Count) -> str | None:
    budget, percent = policy.offline.budget_devices, policy.offline.budget_percent
    if budget is not None and fleet.absent > budget:
        return f"{counted(fleet.absent, 'device')} absent; the policy goes on with at most {budget}"
    if percent is not None and 100 * fleet.absent > percent * fleet.all:
        absent = f"{fleet.absent} of {counted(fleet.all, 'device')} absent"
        return f"{absent}; the policy goes on with at most {percent:g} %"
    return None


def _stop(policy: Policy, reason: str) -> Decision:
    return Decision(Action.STOP_AND_RETURN if policy.on_stop == "return" else Action.STOP, reason)


def _name(wave: PlannedWave) -> str:
    return "the canary" if wave.number == 1 else f"wave {wave.number}"
