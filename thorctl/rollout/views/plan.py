"""Format a plan for a terminal, and the releases that devices change between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from thorctl.protocol.plural import counted
from thorctl.rollout.plan import agent_too_old
from thorctl.ui.format import NOTHING, data_size, duration, memory_size, moment
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.rollout.model.waves import PlannedWave
    from thorctl.rollout.plan import Plan, PlannedDevice

PADDING = (0, 2, 0, 0)


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan: every wave with its devices, downloads and duration, as far as known."""

    plan: Plan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the plan."""
        if self.plan.waves:
            yield Text.assemble((headline(self._changes), "bold"), f", by policy {self.plan.policy}")
            yield Text()
            yield self._table()
            yield Text()
            yield from self._remarks()
        for wave in self.plan.waves:
            yield Text(_wave(wave), style="dim")
        yield from self._agents()
        for name, other in self.plan.same:
            words = f"{name} is the same machine as {other}: excluded, counted as {other}."
            yield Text(words, style="yellow")
        if self.plan.there:
            yield Text(f"Unchanged, they serve it already: {', '.join(self.plan.there)}.", style="dim")
        for release, size in {one.release: one.memory_bytes for one in self.plan.devices}.items():
            if size is not None:
                yield Text(f"{release} needs {memory_size(size)} of memory.", style="dim")
        yield Text(_total(self.plan), style="bold")

    @property
    def _changes(self) -> list[tuple[str | None, str]]:
        return [(one.before, one.release) for one in self.plan.devices]

    def _agents(self) -> Iterator[Text]:
        """Yield the devices that need another agent before a rollout can begin."""
        if self.plan.outdated:
            problem = agent_too_old(self.plan.outdated)
            yield Text(f"{problem.message} {problem.remedy}", style="yellow")

    def _table(self) -> Table:
        """Return the table, without columns that are equal for every device."""
        by_name = {one.name: one for one in self.plan.devices}
        sites = len({one.site for one in by_name.values()}) > 1
        windows = any(one.opens_at for one in by_name.values())
        releases = not alike(self._changes)
        table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
        for title in ("Wave", "Device", *(["Site"] if sites else []), *(["Release"] if releases else [])):
            table.add_column(title)
        for title in ("Download", "Stage", "Change"):
            table.add_column(title, justify="right")
        if windows:
            table.add_column("Not before")
        for wave in self.plan.waves:
            for number, name in enumerate(wave.devices):
                one = by_name[name]
                table.add_row(
                    f"{wave.number} {wave.name}" if number == 0 else "",
                    name,
                    *([one.site or NOTHING] if sites else []),
                    *([change(one.before, one.release)] if releases else []),
                    data_size(one.download_bytes),
                    duration(one.stage_seconds),
                    duration(one.change_seconds),
                    *([moment(one.opens_at) if one.opens_at else "now"] if windows else []),
                )
        return table

    def _remarks(self) -> Iterator[Table | Text]:
        spoken = [one for one in self.plan.devices if one.remarks]
        if not spoken:
            return
        table = Table(box=None, pad_edge=False, padding=PADDING, show_header=False)
        for one in spoken:
            for remark in one.remarks:
                table.add_row(Text(one.name, style="bold"), Text(one_line(remark), style="yellow"))
        yield table
        yield Text()


def _wave(wave: PlannedWave) -> str:
    share = "all" if wave.success_percent == 100 else f"{wave.success_percent:g} %"
    known = "" if wave.seconds is None else f", about {duration(wave.seconds)}"
    asks = "; an operator must approve it" if wave.approval else ""
    soak = f"soak {duration(wave.soak_seconds)}{' under load' if wave.worked else ''}"
    return (
        f"Wave {wave.number}, {wave.name}: {counted(len(wave.devices), 'device')}, "
        f"{share} must be healthy, {soak}{known}{asks}."
    )


def _total(plan: Plan) -> str:
    if not plan.waves:
        return "Nothing to do: every device serves the release already."
    waves = counted(len(plan.waves), "wave")
    time = f"about {duration(plan.seconds)} in all"
    if plan.seconds is None:
        time = f"at least {duration(plan.least_seconds)}, as not every device was measured here"
    return f"{counted(len(plan.devices), 'device')} in {waves}, {_download(plan.devices)}; {time}."


def _download(devices: tuple[PlannedDevice, ...]) -> str:
    known = [one.download_bytes for one in devices if one.download_bytes is not None]
    unknown = len(devices) - len(known)
    more = f" (not known of {counted(unknown, 'device')})" if unknown else ""
    return f"{data_size(sum(known)) if known else NOTHING} to download{more}"


def change(before: str | None, target: str) -> str:
    """Format ``3f9c1a22be01 → 77aa04c5d9e2``, without repeated profile names."""
    if before is None:
        return f"{NOTHING} → {_hash(target)}"
    same = before.rpartition("-")[0] == target.rpartition("-")[0]
    return f"{_hash(before) if same else before} → {_hash(target)}"


def headline(changes: Collection[tuple[str | None, str]]) -> str:
    """Format the new release in full, after the previous one if all known devices have the same."""
    brought = ", ".join(dict.fromkeys(target for _, target in changes))
    if not alike(changes):
        return brought
    had = next((before for before, _ in changes if before is not None), None)
    return f"{had} → {brought}" if had else brought


def alike(changes: Collection[tuple[str | None, str]]) -> bool:
    """Return whether all devices change between the same releases, as far as known."""
    return len({one for one in changes if one[0] is not None}) <= 1 and len({one[1] for one in changes}) <= 1


def _hash(release: str) -> str:
    return release.rpartition("-")[2]
