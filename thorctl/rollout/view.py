"""A rollout as a terminal shows it. Pure: values in, rich renderables out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from thorctl.humane import NOTHING, gib
from thorctl.rollout.device import GOING_BACK, Phase
from thorctl.rollout.state import seconds
from thorctl.rollout.terms import PADDING, alike, change, duration, headline
from thorctl.rollout.words import next_command, reason, standing, wave_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.rollout.device import Device
    from thorctl.rollout.state import State
    from thorctl.store.rollouts import Rollout

_STYLES = {
    Phase.DONE: "green",
    Phase.FAILED: "bold red",
    Phase.LOST: "bold red",
    Phase.STUCK: "bold red",
    Phase.RETURNED: "yellow",
    Phase.ABSENT: "yellow",
    Phase.HELD: "yellow",
    Phase.RETURNING: "red",
    Phase.LEFT: "red",
    Phase.BACK: "red",
    Phase.RECALLED: "yellow",
    Phase.DOUBT: "yellow",
}
_ACTIVE = "cyan"
_BACK = GOING_BACK | {Phase.RETURNED, Phase.STUCK}
_STANDINGS = {
    "finished": "bold green",
    "running": "bold cyan",
    "incomplete": "bold yellow",
    "paused": "bold yellow",
}
# A step that takes a while is worth more than the phase it is taken in.
_AT_IT = {
    "preflight": "checking",
    "stage": "staging",
    "activate": "activating",
    "smoke": "smoke test",
    "rollback": "rolling back",
}
_PARTS = {"image": "image", "checkpoint": "checkpoint", "verify": "verifying", "start": "starting"}


@dataclass(frozen=True, slots=True)
class RolloutView:
    """Where a rollout stands.

    Attributes:
        progress: device -> what its agent says of the verb at work, as far as it is known.
        now: seconds since the epoch, for what is left; None = not shown.
    """

    rollout: Rollout
    state: State
    at_work: bool
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    now: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws itself."""
        state = self.state
        word = standing(state, at_work=self.at_work)
        style = _STANDINGS.get(word, "bold red")
        title = f"Rollout {self.rollout.id}"
        yield Text.assemble((title, "bold"), "  ", (word, style), f"  {reason(state) or self._left()}")
        yield Text(f"{headline(self._changes)}, by {self.rollout.began_by}")
        yield Text()
        yield self._waves()
        yield Text()
        yield self._devices()
        command = next_command(self.rollout.id, state, at_work=self.at_work)
        if command:
            yield Text()
            yield Text.assemble("Go on with: ", (command, "bold"))

    @property
    def _changes(self) -> list[tuple[str | None, str]]:
        return [(one.before, one.target) for one in self.state.devices.values()]

    def _left(self) -> str:
        planned = self.state.brief.plan
        if self.now is None or planned.seconds is None or self.state.ended:
            return ""
        left = max(0.0, planned.seconds - (self.now - seconds(self.rollout.began_at)))
        return f"about {duration(left)} left, by what was last measured"

    def _waves(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        for title in ("Wave", "Who", "State"):
            table.add_column(title)
        for title, _, _ in self._figures(()):
            table.add_column(title, justify="right")
        for number, wave in self.state.waves.items():
            word = wave_state(self.state, number)
            table.add_row(
                str(number),
                wave.name,
                Text(word, style=_ACTIVE if word == "open" else ""),
                *(_figure(count, style) for _, count, style in self._figures(wave.devices)),
            )
        return table

    def _figures(self, names: Sequence[str]) -> list[tuple[str, int, str]]:
        """What is counted of these devices: title, count, style."""
        count = self.state.count(names)
        ends = [("Well", count.well, "green"), ("Failed", count.failed, "bold red")]
        absent = ("Absent", count.absent, "yellow")
        if self.state.stopped is None:
            return [*ends, absent, ("To go", count.still, "")]
        devices = [self.state.devices[name] for name in names]
        back = sum(one.phase in _BACK and not one.counts_as_failed for one in devices)
        return [*ends, ("Returned", back, "yellow"), absent, ("Left alone", count.still - back, "")]

    def _devices(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        releases = not alike(self._changes)
        for title in ("Device", "Wave", "Phase", *(["Release"] if releases else [])):
            table.add_column(title, no_wrap=True)
        table.add_column("")
        for one in self.state.in_order:
            wave = self.state.wave_of(one.name)
            table.add_row(
                one.name,
                str(wave.number) if wave else NOTHING,
                Text(self._phase(one), style=_STYLES.get(one.phase, "")),
                *([change(one.before, one.target)] if releases else []),
                Text(self._remark(one), style="dim"),
            )
        return table

    def _phase(self, one: Device) -> str:
        begun = self.state.open.get(one.name)
        return _AT_IT.get(str(begun.verb) if begun else "", one.phase.value)

    def _remark(self, one: Device) -> str:
        progress = self.progress.get(one.name)
        if progress and one.name in self.state.open:
            return progress_line(progress)
        if one.phase is Phase.SOAKING and self.now is not None and one.soak_from is not None:
            soak = self.state.rules(one.name).soak_seconds
            return f"well for {duration(max(0.0, self.now - one.soak_from))} of {duration(soak)}"
        return one.why


def _figure(count: int, style: str) -> Text:
    return Text(str(count), style=style if count else "dim")


def progress_line(progress: Mapping[str, Any]) -> str:
    """``checkpoint 42 %, 9.1 of 21.8 GiB, 11 MB/s, 20 min left``, as far as it is known."""
    part = str(progress.get("phase") or "under way")
    words = [_PARTS.get(part, part)]
    done, total, rate = (
        _number(progress.get(key)) for key in ("done_bytes", "total_bytes", "bytes_per_second")
    )
    if done is not None and total:
        words = [
            f"{words[0]} {100 * done // total:.0f} %",
            f"{gib(int(done)).removesuffix(' GiB')} of {gib(int(total))}",
        ]
    if rate:
        words.append(f"{rate / 1e6:.0f} MB/s")
        if done is not None and total and total > done:
            words.append(f"{duration((total - done) / rate)} left")
    return ", ".join(words)


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
