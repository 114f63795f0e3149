"""Format a rollout for a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from thorctl.protocol.plural import counted
from thorctl.rollout.model.phases import GOING_BACK, PREPARED, UNFINISHED, Phase
from thorctl.rollout.model.state import seconds
from thorctl.rollout.views.plan import PADDING, alike, change, headline
from thorctl.rollout.views.summary import next_command, reason, standing, wave_state
from thorctl.ui.format import NOTHING, data_size, duration
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.protocol.status import Soak
    from thorctl.rollout.model.device import Device
    from thorctl.rollout.model.state import State
    from thorctl.store.rollouts import Rollout

_STYLES = {
    Phase.UPDATED: "green",
    Phase.FAILED: "bold red",
    Phase.UNREACHABLE: "bold red",
    Phase.ROLLBACK_FAILED: "bold red",
    Phase.IN_REVIEW: "bold red",
    Phase.ROLLED_BACK: "yellow",
    Phase.ABSENT: "yellow",
    Phase.HELD: "yellow",
    Phase.ROLLING_BACK: "red",
    Phase.ROLLBACK_UNVERIFIED: "red",
    Phase.SMOKING_PREVIOUS: "red",
    Phase.ROLLBACK_REQUESTED: "yellow",
    Phase.UNKNOWN: "yellow",
}
_ACTIVE = "cyan"
LONGEST_PART = 100  # characters of one part of a reason
_OTHER_LINES = 8  # two above the waves, two titles, two empty ones, two for the next command
_BACK = GOING_BACK | {Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED}
_STANDINGS = {
    "finished": "bold green",
    "running": "bold cyan",
    "incomplete": "bold yellow",
    "paused": "bold yellow",
}
# A step that takes long is shown instead of the phase.
_AT_IT = {
    "preflight": "checking",
    "stage": "staging",
    "activate": "activating",
    "smoke": "smoke test",
    "rollback": "rolling back",
}
# Phases shown first on a screen with too few lines.
_AT_WORK = PREPARED | UNFINISHED
_TROUBLE = frozenset({Phase.FAILED, Phase.IN_REVIEW, Phase.UNREACHABLE, Phase.ROLLBACK_FAILED})
_AWAY = frozenset({Phase.ABSENT, Phase.HELD})
_PARTS = {"verify": "verifying", "start": "starting"}
_KEYS = ("done_bytes", "total_bytes", "bytes_per_second")


@dataclass(frozen=True, slots=True)
class RolloutView:
    """The state of a rollout.

    Attributes:
        progress: device -> its agent's progress, as far as known.
        now: seconds since the epoch, for the remaining time; None = not shown.
        live: redrawn on a screen; devices that do not fit are counted only.
    """

    rollout: Rollout
    state: State
    at_work: bool
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    now: float | None = None
    live: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the rollout."""
        state = self.state
        word = standing(state, at_work=self.at_work)
        style = _STANDINGS.get(word, "bold red")
        title = f"Rollout {self.rollout.id}"
        yield Text.assemble(
            (title, "bold"),
            "  ",
            (word, style),
            f"  {reason(state) or (self._left() if word == 'running' else '')}",
        )
        yield Text(f"{headline(self._changes)}, by {self.rollout.began_by}")
        yield Text()
        yield self._waves()
        yield Text()
        room = options.max_height - len(state.waves) - _OTHER_LINES if self.live else len(state.devices)
        devices, others = shortlist(state, room)
        yield self._devices(devices)
        if others:
            yield Text(others, style="dim")
        command = next_command(self.rollout.id, state, at_work=self.at_work)
        if command:
            yield Text()
            yield Text.assemble("Continue with: ", (command, "bold"))

    @property
    def _changes(self) -> list[tuple[str | None, str]]:
        return [(one.before, one.target) for one in self.state.devices.values()]

    def _left(self) -> str:
        """Format what is left: bytes during staging, then time by the plan."""
        if self.state.wave == 0:
            at_it = [self.progress[name] for name in self.state.open if name in self.progress]
            return f"staging everywhere first; {of_all(at_it)}".removesuffix("; ")
        planned = self.state.brief.plan
        whole = planned.least_seconds if planned.seconds is None else planned.seconds
        if self.now is None or whole is None:
            return ""
        left = whole - (self.now - seconds(self.rollout.began_at))
        if planned.seconds is None:
            return f"at least {duration(left)} left" if left > 0 else ""
        if left < 0:
            return f"{duration(-left)} longer than the {duration(whole)} of the plan"
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
        """Return the counts of these devices: title, count, style."""
        count = self.state.count(names)
        ends = [("Well", count.well, "green"), ("Failed", count.failed, "bold red")]
        absent = ("Absent", count.absent, "yellow")
        if self.state.stopped is None:
            return [*ends, absent, ("To go", count.still, "")]
        devices = [self.state.devices[name] for name in names]
        back = sum(one.phase in _BACK and not one.counts_as_failed for one in devices)
        return [*ends, ("Returned", back, "yellow"), absent, ("Left alone", count.still - back, "")]

    def _devices(self, devices: Sequence[Device]) -> Table:
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold", expand=self.live)
        releases = not alike(self._changes)
        for title in ("Device", "Wave", "Phase", *(["Release"] if releases else [])):
            table.add_column(title, no_wrap=True)
        # One line per device if live: details that do not fit are in the lines above.
        table.add_column("", no_wrap=self.live, overflow="ellipsis", ratio=1 if self.live else None)
        for one in devices:
            wave = self.state.wave_of(one.name)
            table.add_row(
                one.name,
                str(wave.number) if wave else NOTHING,
                Text(self._phase(one), style=_STYLES.get(one.phase, "")),
                *([change(one.before, one.target)] if releases else []),
                Text(one_line(self._remark(one)), style="dim"),
            )
        return table

    def _phase(self, one: Device) -> str:
        begun = self.state.open.get(one.name)
        return _AT_IT.get(str(begun.verb) if begun else "", one.phase.value)

    def _remark(self, one: Device) -> str:
        if one.name in self.state.open:  # `why` is older than this step
            progress = self.progress.get(one.name)
            return of_one(progress) if progress else ""
        if one.phase is Phase.SOAKING and self.now is not None and one.soak_from is not None:
            soak = self.state.rules(one.name).soak_seconds
            well = f"well for {duration(max(0.0, self.now - one.soak_from))} of {duration(soak)}"
            return "; ".join([well, *worked(one.soak)])
        return folded(one.why)


def worked(soak: Soak | None) -> list[str]:
    """Format ``12300 of 20000 steps, 28.1/s, 5 min left``, as far as known; [] without load."""
    if soak is None:
        return []
    words = [f"{min(soak.steps, soak.steps_wanted)} of {soak.steps_wanted} steps"]
    if soak.steps_per_second is not None:
        words.append(f"{soak.steps_per_second:.1f}/s")
    if soak.paused:
        words.append(f"paused: {soak.paused}")
    elif soak.seconds_left:
        words.append(f"{duration(soak.seconds_left)} left")
    if soak.xid is None:
        words.append("kernel log unknown")
    return [", ".join(words)]


def folded(why: str) -> str:
    """Shorten the long parts of a reason: the history has the whole text of a bad model."""
    return "; ".join(
        part if len(part) <= LONGEST_PART else f"{part[:LONGEST_PART].rstrip()}…" for part in why.split("; ")
    )


def _figure(count: int, style: str) -> Text:
    return Text(str(count), style=style if count else "dim")


def shortlist(state: State, room: int) -> tuple[list[Device], str]:
    """Return at most ``room`` devices in the order of their waves, and the others as text."""
    devices = state.in_order
    if len(devices) <= room:
        return devices, ""
    # One line is for the text.
    chosen = {one.name for one in sorted(devices, key=lambda one: _rank(state, one))[: max(room - 1, 1)]}
    left = [one for one in devices if one.name not in chosen]
    phases = Counter(one.phase.value for one in left)
    words = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    return [one for one in devices if one.name in chosen], f"and {len(left)} more: {words}"


def _rank(state: State, one: Device) -> int:
    if one.name in state.open or one.phase in _AT_WORK:
        return 0
    if one.phase in _TROUBLE:
        return 1
    if one.phase in _AWAY:
        return 2
    wave = state.wave_of(one.name)
    return 3 if not one.settled and wave is not None and wave.number == state.wave else 4


def of_one(progress: Mapping[str, Any]) -> str:
    """Format ``checkpoint 42 %, 9.1 of 21.8 GB, 11 MB/s, 17 min left``, as far as known."""
    part = str(progress.get("phase") or "under way")
    done, total, rate = (_number(progress.get(key)) for key in _KEYS)
    words = [_PARTS.get(part, part)]
    if done is not None and total:
        words = [f"{words[0]} {100 * done // total:.0f} %", _bytes(done, total)]
    if rate:
        words.append(f"{rate / 1e6:.0f} MB/s")
        if done is not None and total and total > done:
            words.append(f"{duration((total - done) / rate)} left")
    return ", ".join(words)


def of_all(downloads: Iterable[Mapping[str, Any]]) -> str:
    """Format ``10 devices at it: 120.0 of 218.0 GB, 110 MB/s, 15 min left``; '' if unknown."""
    known = [[_number(one.get(key)) for key in _KEYS] for one in downloads]
    figures = [(done, total, rate or 0.0) for done, total, rate in known if done is not None and total]
    if not figures:
        return ""
    done, total, rate = (sum(column) for column in zip(*figures, strict=True))
    words = [f"{counted(len(figures), 'device')} at it: {_bytes(done, total)}"]
    if rate:
        words.append(f"{rate / 1e6:.0f} MB/s")
    if all(speed for had, whole, speed in figures if whole > had) and total > done:
        slowest = max((whole - had) / speed for had, whole, speed in figures if whole > had)
        words.append(f"{duration(slowest)} left")
    return ", ".join(words)


def _bytes(done: float, total: float) -> str:
    whole = data_size(int(total))
    return f"{data_size(int(done)).removesuffix(whole[whole.rindex(' ') :])} of {whole}"


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
