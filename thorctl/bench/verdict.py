"""Decide whether one device's benchmark becomes a baseline, is compared with one, or fails."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thorctl.bench.compare import compare
from thorctl.bench.measurement import read
from thorctl.errors import ThorError
from thorctl.result import Problem

if TYPE_CHECKING:
    from thorctl.bench.compare import Comparison
    from thorctl.protocol.bench import Measurement
    from thorctl.remote.answer import Answer
    from thorctl.store.baselines import Baseline

NAMES = {"single": "single stream", "identical": "identical prompts", "different": "different prompts"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One device.

    Attributes:
        answer: the agent's answer.
        measurement: None without a readable one.
        baseline: the previous one; None if there was none.
        comparison: with the baseline; None without a readable one.
        keep: whether this measurement becomes the device's baseline.
        problem: the error of a failure.
    """

    answer: Answer
    measurement: Measurement | None = None
    baseline: Baseline | None = None
    comparison: Comparison | None = None
    keep: bool = False
    problem: Problem | None = None

    @property
    def device(self) -> str:
        """Its name in the inventory."""
        return self.answer.device

    def as_json(self) -> dict[str, Any]:
        """Return one device of ``data.devices``; ``measurement`` is the device's whole data."""
        before = self.baseline
        return {
            "name": self.device,
            "reachable": self.answer.reached,
            "release": self.answer.data.get("release"),
            "measurement": dict(self.answer.data) if self.measurement else None,
            "baseline": {"set_at": before.set_at, "set_by": before.set_by} if before else None,
            "comparison": self.comparison.as_json() if self.comparison else None,
            "kept_as_baseline": self.keep,
            "error": asdict(self.problem) if self.problem else None,
        }


def judge(answer: Answer, baseline: Baseline | None, *, tolerance: float, set_baseline: bool) -> Outcome:
    """Judge one answer.

    Args:
        answer: of the verb bench.
        baseline: of this device with the release that it measured.
        tolerance: accepted slowdown, as a share.
        set_baseline: whether the operator makes this the baseline in any case.
    """
    if answer.error:
        return Outcome(answer, problem=answer.error)
    device = answer.device
    try:
        now = read(answer.data, device)
    except ThorError as fault:
        return Outcome(answer, problem=Problem.of(fault))
    if baseline is None:
        return _first(answer, now, set_baseline=set_baseline)
    comparison: Comparison | None = None
    problem: Problem | None
    try:
        comparison = compare(now, read(baseline.measurement, device), tolerance)
        problem = _problem(device, comparison)
    except ThorError as fault:
        problem = _unreadable(device, fault)
    return Outcome(answer, now, baseline, comparison, set_baseline, None if set_baseline else problem)


def _first(answer: Answer, now: Measurement, *, set_baseline: bool) -> Outcome:
    if now.over_current_events and not set_baseline:
        problem = Problem(
            "over_current",
            f"There were {now.over_current_events} over-current events during the benchmark: "
            "the device throttled itself, so this is not kept as its baseline.",
            f"Check its power supply, then measure again with `thorctl bench {answer.device}`; with "
            "`--set-baseline` the measurement is kept in any case.",
            answer.device,
        )
        return Outcome(answer, now, problem=problem)
    return Outcome(answer, now, keep=True)


def _problem(device: str, comparison: Comparison) -> Problem | None:
    if comparison.obstacles:
        return Problem(
            "bench_incomparable",
            f"The measurement cannot be compared with its baseline: {'; '.join(comparison.obstacles)}.",
            "Measure in the baseline's condition, or make this the baseline: "
            f"`thorctl bench {device} --set-baseline`.",
            device,
        )
    if comparison.slower:
        slower = ", ".join(
            f"{NAMES[one.what]} {one.now:.1f} tok/s instead of {one.baseline:.1f} ({one.relative:+.0%})"
            for one in comparison.slower
        )
        why = "; ".join(comparison.conditions) or "nothing that was recorded differs"
        return Problem(
            "bench_slower",
            f"The device is slower than its baseline by more than {comparison.tolerance:.0%}: "
            f"{slower}. Since then: {why}.",
            f"Let it cool and measure again. See the baseline with `thorctl baseline show {device}`. "
            f"To make this the baseline: `thorctl bench {device} --set-baseline`.",
            device,
        )
    return None


def _unreadable(device: str, fault: ThorError) -> Problem:
    return Problem(
        "baseline_unreadable",
        f"The baseline cannot be read: {fault}.",
        f"Make this the baseline: `thorctl bench {device} --set-baseline`.",
        device,
    )
