"""Rollouts and plans as a terminal shows them. Pure: values in, rich renderables out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from thorctl.humane import NOTHING, gib
from thorctl.rollout.device import Phase
from thorctl.rollout.words import next_command, reason, standing, wave_state
from thorctl.status import progress_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.rollout.device import Device
    from thorctl.rollout.plan import Plan, PlannedDevice
    from thorctl.rollout.state import State
    from thorctl.store.rollouts import Rollout

PADDING = (0, 2, 0, 0)
_STYLES = {
    Phase.DONE: "green",
    Phase.FAILED: "bold red",
    Phase.LOST: "bold red",
    Phase.STUCK: "bold red",
    Phase.RETURNED: "yellow",
    Phase.ABSENT: "yellow",
    Phase.RETURNING: "red",
    Phase.LEFT: "red",
    Phase.BACK: "red",
    Phase.RECALLED: "yellow",
    Phase.DOUBT: "yellow",
}
_ACTIVE = "cyan"
_STANDINGS = {
    "finished": "bold green",
    "running": "bold cyan",
    "incomplete": "bold yellow",
    "paused": "bold yellow",
}


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``; a dash for what is not known."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan: every wave with its devices, what they fetch and how long it takes, as far as it is known."""

    plan: Plan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws itself."""
        if self.plan.waves:
            yield self._table()
            yield Text()
        for one in self.plan.devices:
            for remark in one.remarks:
                yield Text.assemble((one.name, "bold"), "  ", (remark, "yellow"))
        for wave in self.plan.waves:
            asks = "; a person must approve it" if wave.approval else ""
            yield Text(
                f"Wave {wave.number}: soak {duration(wave.soak_seconds)}, "
                f"{wave.success_percent:g} % must be well, takes {duration(wave.seconds)}{asks}.",
                style="dim",
            )
        if self.plan.there:
            yield Text(f"Left alone, they serve it already: {', '.join(self.plan.there)}.", style="dim")
        yield Text(_total(self.plan), style="bold")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        for title in ("Wave", "Device", "Site", "Serves", "Gets"):
            table.add_column(title)
        for title in ("Download", "Stage", "Change"):
            table.add_column(title, justify="right")
        table.add_column("From")
        by_name = {one.name: one for one in self.plan.devices}
        for wave in self.plan.waves:
            for number, name in enumerate(wave.devices):
                table.add_row(f"{wave.number} {wave.name}" if number == 0 else "", *_planned(by_name[name]))
        return table


def _planned(one: PlannedDevice) -> tuple[str, ...]:
    return (
        one.name,
        one.site or NOTHING,
        one.before or NOTHING,
        one.release,
        gib(one.download_bytes),
        duration(one.stage_seconds),
        duration(one.change_seconds),
        one.opens_at or "any time",
    )


def _total(plan: Plan) -> str:
    if not plan.waves:
        return "Nothing to do: every device serves the release already."
    count = len(plan.devices)
    known = "" if plan.seconds is not None else " (times that were never measured here are not known)"
    return (
        f"{count} device{'s'[: count != 1]} in {len(plan.waves)} wave{'s'[: len(plan.waves) != 1]}, "
        f"{gib(plan.download_bytes)} to download, {duration(plan.seconds)} in all{known}."
    )


@dataclass(frozen=True, slots=True)
class RolloutView:
    """Where a rollout stands: waves, then devices.

    Attributes:
        progress: what agents say of the verb at work.
        elapsed: seconds since it began, for what is left of the plan's time; None = not shown.
    """

    rollout: Rollout
    state: State
    at_work: bool
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    elapsed: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws itself."""
        state = self.state
        word = standing(state, at_work=self.at_work)
        style = _STANDINGS.get(word, "bold red")
        title = f"Rollout {self.rollout.id}"
        yield Text.assemble(
            (title, "bold"), f"  {self.rollout.label}  ", (word, style), f"  {reason(state) or self._left()}"
        )
        yield Text()
        yield self._waves()
        yield Text()
        yield self._devices()
        command = next_command(self.rollout.id, state, at_work=self.at_work)
        if command:
            yield Text()
            yield Text.assemble("Go on with: ", (command, "bold"))

    def _left(self) -> str:
        seconds = self.state.brief.plan.seconds
        if self.elapsed is None or seconds is None or self.state.ended:
            return ""
        return f"about {duration(max(0.0, seconds - self.elapsed))} left, by what was last measured"

    def _waves(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        for title in ("Wave", "Who", "State"):
            table.add_column(title)
        for title in ("Well", "Failed", "Absent", "Still"):
            table.add_column(title, justify="right")
        for number, wave in self.state.waves.items():
            count = self.state.count(wave.devices)
            figures = (count.well, count.failed, count.absent, count.still)
            word = wave_state(self.state, number)
            table.add_row(
                str(number),
                wave.name,
                Text(word, style=_ACTIVE if word == "open" else ""),
                *map(str, figures),
            )
        return table

    def _devices(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        for title in ("Device", "Wave", "Phase", "Release", "tok/s", ""):
            table.add_column(title, justify="right" if title == "tok/s" else "left")
        for one in self.state.devices.values():
            wave = self.state.wave_of(one.name)
            table.add_row(
                one.name,
                str(wave.number) if wave else NOTHING,
                Text(self._phase(one), style=_STYLES.get(one.phase, "")),
                f"{one.before or NOTHING} → {one.target}",
                NOTHING if one.speed is None else f"{one.speed:.1f}",
                Text(self._remark(one), style="dim"),
            )
        return table

    def _phase(self, one: Device) -> str:
        begun = self.state.open.get(one.name)
        word = {"stage": "staging", "activate": "activating", "smoke": "smoke test"}.get(
            str(begun.verb) if begun else ""
        )
        return word or one.phase.value

    def _remark(self, one: Device) -> str:
        progress = self.progress.get(one.name)
        if progress and one.name in self.state.open:
            rate = progress.get("bytes_per_second")
            speed = f", {rate / 1e6:.0f} MB/s" if isinstance(rate, (int, float)) and rate else ""
            return progress_words(progress) + speed
        return one.why
