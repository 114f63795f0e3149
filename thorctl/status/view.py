"""Format the status table for a terminal's width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from thorctl.protocol.states import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL
from thorctl.status.drift import count
from thorctl.status.model import attention, remarks, verdict
from thorctl.ui.format import NOTHING, age, celsius, data_size, memory_size
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.status.model import Row

PADDING = 2  # cells between two columns
_COLOURS = {
    "ready": "green",
    COMMITTED: "green",
    "starting": "yellow",
    TRIAL: "yellow",
    ACTIVATING: "yellow",
    ROLLING_BACK: "yellow",
    "failed": "red",
    "stopped": "red",
    "unreachable": "bold red",
    "no status": "bold red",
    "no agent": "bold red",
    "wrong host key": "bold red",
    "unknown host key": "bold red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``rank`` 0 is always shown; on a narrow terminal the highest rank is dropped first."""

    title: str
    rank: int
    cell: Callable[[Row, datetime], str]
    right: bool = False


def _state(row: Row, now: datetime) -> str:  # noqa: ARG001 - all cells have the same arguments
    return attention(row)[0] if row.error else row.report.state or NOTHING


def _smoke(row: Row, now: datetime) -> str:
    smoke = row.report.last_smoke
    if smoke is None or smoke.passed is None:
        return NOTHING
    return f"{'passed' if smoke.passed else 'failed'} {age(smoke.at, now)}"


COLUMNS = (
    Column("Device", 0, lambda r, _: r.name),
    Column("Site", 8, lambda r, _: r.site or NOTHING),
    Column("L4T", 7, lambda r, _: r.report.l4t or NOTHING),
    Column("Power", 6, lambda r, _: r.report.power_mode or NOTHING),
    Column("Release", 0, lambda r, _: r.report.release or NOTHING),
    Column("State", 0, _state),
    Column("Engine", 0, lambda r, _: r.report.engine.word or NOTHING),
    Column("Model", 9, lambda r, _: r.report.engine.model or NOTHING),
    Column("Mem free", 4, lambda r, _: memory_size(r.report.memory_available_bytes), right=True),
    Column("Temp", 2, lambda r, _: celsius(r.report.temperature_celsius), right=True),
    Column("Disk free", 5, lambda r, _: data_size(r.report.disk_free_bytes), right=True),
    Column("Last smoke", 1, _smoke),
    Column("Drift", 3, lambda r, _: count(r.drift)),
)


def fitting(widths: Sequence[int], ranks: Sequence[int], available: int) -> list[int]:
    """Return the columns that fit: the highest ranks are dropped, but never rank 0."""
    shown = list(range(len(widths)))
    while sum(widths[i] for i in shown) + PADDING * (len(shown) - 1) > available:
        least = max(shown, key=lambda i: ranks[i])
        if ranks[least] == 0:
            break
        shown.remove(least)
    return shown


@dataclass(frozen=True, slots=True)
class StatusView:
    """The table, what needs attention, and the verdict."""

    rows: Sequence[Row]
    now: datetime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console's width."""
        cells = [[one_line(column.cell(row, self.now)) for column in COLUMNS] for row in self.rows]
        widths = [max(map(cell_len, [c.title, *(line[i] for line in cells)])) for i, c in enumerate(COLUMNS)]
        shown = fitting(widths, [column.rank for column in COLUMNS], options.max_width)
        table = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), header_style="bold")
        for i in shown:
            column = COLUMNS[i]
            table.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=column.rank > 0
            )
        for line in cells:
            table.add_row(*(Text(line[i], style=_colour(line[i])) for i in shown))
        yield table
        yield Text()
        yield from self._below(shown)

    def _below(self, shown: Sequence[int]) -> RenderResult:
        # In a column of its own: text from a device cannot begin a line, however it is wrapped.
        notes = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), show_header=False)
        notes.add_column(no_wrap=True, style="bold")
        notes.add_column(overflow="fold")
        for row in self.rows:
            if reasons := attention(row):
                notes.add_row(row.name, Text(one_line("; ".join(reasons)), style="yellow"))
            if words := remarks(row):
                notes.add_row(row.name, Text(one_line("; ".join(words))))
        if notes.row_count:
            yield notes
        hidden = [column.title for i, column in enumerate(COLUMNS) if i not in shown]
        if hidden:
            yield Text(f"Not shown because of the width: {', '.join(hidden)}.", style="dim")
        calm = not any(map(attention, self.rows))
        yield Text(verdict(self.rows), style="bold green" if calm else "bold yellow")


def _colour(cell: str) -> str:
    word = cell.split(" ", 1)[0]
    if cell == NOTHING:
        return "dim"
    return _COLOURS.get(cell) or {"passed": "green", "failed": "red"}.get(word, "")
