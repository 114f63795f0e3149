"""``status --drift``: a table of differences, desired beside actual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from thorctl.protocol.plural import counted
from thorctl.status import drift as status_drift
from thorctl.status.model import attention, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from thorctl.protocol.status import Comparison
    from thorctl.status.model import Row

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


@dataclass(frozen=True, slots=True)
class DriftView:
    """Differences and unknown settings of all devices, the number of compared ones, and the verdict.

    ``verbose``: settings without a difference too.
    """

    rows: Sequence[Row]
    verbose: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console's width; long values are folded, never cut."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("Device", "", "What", "Desired", "Actual"):
            table.add_column(title, overflow="fold")
        for row in self.rows:
            if row.compared is None:
                table.add_row(
                    row.name, _mark(None), "everything", "", Text(_why_not(row), style=_MARKS[None][1])
                )
            for item in row.compared or ():
                if self.verbose or item.same is not True or item.note:
                    table.add_row(row.name, *_cells(item))
        if table.row_count:
            yield table
            yield Text()
        yield Text(self._counts())
        calm = not any(map(attention, self.rows))
        yield Text(verdict(self.rows), style="bold green" if calm else "bold yellow")

    def _counts(self) -> str:
        items = [item for row in self.rows for item in row.compared or ()]
        differ = sum(item.same is False and not item.note for item in items)
        devices = sum(row.compared is not None for row in self.rows)
        unknown = sum(item.same is None for item in items)
        also = f", {unknown} unknown" if unknown else ""
        compared = f"{counted(len(items), 'setting')} of {counted(devices, 'device')} compared"
        return f"{compared}: {counted(differ, 'differs', 'differ')}{also}."


def _cells(item: Comparison) -> tuple[Text, str, str, Text]:
    mark = Text("•") if item.note else _mark(item.same)
    note = f" ({item.note})" if item.note else ""
    style = "" if item.same or item.note else _MARKS[item.same][1]
    desired, actual = status_drift.shown(item)
    return mark, item.what, desired, Text(actual + note, style=style)


def _mark(same: bool | None) -> Text:
    return Text(*_MARKS[same])


def _why_not(row: Row) -> str:
    return attention(row)[0] if row.error else "unknown: its agent does not report it (run site.yml)"
