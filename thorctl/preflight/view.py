"""Format preflight reports for a terminal.

One device: every check. Several: failures and warnings, each once with its devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from thorctl.preflight.report import ROWS
from thorctl.protocol.plural import counted
from thorctl.ui.format import NOTHING
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    Report = Mapping[str, Any]

STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}
ORDER = ("fail", "warn")
WIDE = 96  # columns from which "Desired" is shown: below, it would squeeze "Found"
# Above this number of devices, or below this width of their columns, they are stacked.
MOST_BESIDE, NARROWEST = 3, 28


@dataclass(frozen=True, slots=True)
class PreflightView:
    """Checks, findings with their remedies, the card's test device beside ours, and the verdict."""

    reports: Sequence[Report]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console's width."""
        wide = options.max_width >= WIDE
        asked = [one for one in self.reports if one["items"]]
        if len(self.reports) == 1:
            for one in asked:
                yield from _whole(one, wide=wide)
        else:
            yield _overview(self.reports)
            yield Text()
        for finding in findings(asked):
            yield finding.shown(named=len(self.reports) > 1)
            yield Text()
        if asked:
            yield from _test_device(asked, options.max_width)
            yield Text()
        if asked and not wide and len(self.reports) == 1:
            yield Text("Not shown because of the width: Desired.", style="dim")
        yield _verdict(self.reports)


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure or warning, and its devices."""

    item: Mapping[str, Any]
    devices: tuple[str, ...]

    def shown(self, *, named: bool) -> Table:
        """Return status and name, then sentence, remedy and switch below each other."""
        item, failed = self.item, self.item["status"] == "fail"
        head = Text.assemble((item["name"], "bold"), "  ", ", ".join(self.devices) if named else "")
        found = f" Found {item['found']}, wanted {item['wanted']}." if failed else ""
        lines = [head, _text(f"{item['message']}{found}")]
        lines.append(Text.assemble(("what to do: ", "bold"), _text(item["remedy"])))
        if failed:
            switch = f"{item['switch']} (in a playbook -e thor_preflight_skip={item['name']})"
            lines.append(Text.assemble(("to skip this check: ", "bold"), switch))
        table = Table.grid(padding=(0, 2, 0, 0))
        for number, line in enumerate(lines):
            table.add_row(Text("" if number else item["status"], style=STYLES[item["status"]]), line)
        return table


def findings(reports: Sequence[Report]) -> list[Finding]:
    """Return failures, then warnings, in the order of the checks; equal ones are combined."""
    devices: dict[tuple[str, ...], list[str]] = {}
    items: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for one in reports:
        for item in one["items"]:
            if item["status"] in ORDER:
                found = item["found"] if item["status"] == "fail" else ""  # shown for failures only
                key = (item["status"], item["name"], item["message"], found, item["remedy"])
                items.setdefault(key, item)
                devices.setdefault(key, []).append(one["name"])
    found = [Finding(item, tuple(devices[key])) for key, item in items.items()]
    return sorted(found, key=lambda finding: ORDER.index(finding.item["status"]))


def _whole(report: Report, *, wide: bool) -> RenderResult:
    """Return every check of one device."""
    yield Text.assemble(
        (report["name"], "bold"), f"  {report['release']}", (f"  on {report['device_class']}", "dim")
    )
    yield Text()
    table = _table()
    for title in ("", "Check", "Found", *(["Desired"] if wide else [])):
        table.add_column(title, no_wrap=title in {"", "Check"})
    for item in report["items"]:
        style = STYLES[item["status"]]
        cells = [Text(item["status"], style=style), Text(item["name"]), _text(item["found"])]
        table.add_row(*cells, *([_text(item["wanted"], "dim")] if wide else []))
    yield table
    yield Text()


def _overview(reports: Sequence[Report]) -> Table:
    """Return the number of passed checks per device, and the names of the others."""
    table = _table()
    table.add_column("Device", no_wrap=True)
    for status in STYLES:
        table.add_column(status.capitalize(), justify="right", no_wrap=True)
    table.add_column("Not right")
    for one in reports:
        counts = one["counts"] or {}
        cells = (_count(status, counts.get(status)) for status in STYLES)
        table.add_row(Text(one["name"]), *cells, _names(one))
    return table


def _count(status: str, count: int | None) -> Text:
    return Text(NOTHING if count is None else str(count), style=STYLES[status] if count else "dim")


def _names(report: Report) -> Text:
    if not report["items"]:
        return Text((report["error"] or {}).get("code") or "no answer", style="bold red")
    wrong = [item for status in ORDER for item in report["items"] if item["status"] == status]
    names = [Text(item["name"], style=STYLES[item["status"]]) for item in wrong]
    return Text(", ").join(names) if names else Text("nothing", style="dim")


def _test_device(reports: Sequence[Report], width: int) -> Iterable[Table]:
    """Yield the model card's "Test device" beside each device's own; equal devices are combined."""
    for card in {repr(_cards(one)): _cards(one) for one in reports}.values():
        groups: dict[str, list[Report]] = {}
        for one in reports:
            if _cards(one) == card:
                groups.setdefault(repr(one["test_device"]), []).append(one)
        columns = {"Model card": card} if any(card.values()) else {}
        for alike in groups.values():
            cells = alike[0]["test_device"].items()
            columns[", ".join(one["name"] for one in alike)] = {row: cell["device"] for row, cell in cells}
        beside = len(columns) <= MOST_BESIDE and len(columns) * NARROWEST <= width
        yield _beside(columns) if beside else _below(columns)


def _beside(columns: Mapping[str, Mapping[str, str | None]]) -> Table:
    table = _table()
    for title in ("Test device", *columns):
        table.add_column(Text(title), overflow="fold", no_wrap=title == "Test device")
    for row, title in ROWS.items():
        table.add_row(title, *(_text(cells[row] or NOTHING) for cells in columns.values()))
    return table


def _below(columns: Mapping[str, Mapping[str, str | None]]) -> Table:
    table = _table()
    for title in ("Test device", "", ""):
        table.add_column(title, overflow="fold", no_wrap=title == "Test device")
    for row, title in ROWS.items():
        for number, (column, cells) in enumerate(columns.items()):
            table.add_row("" if number else title, Text(column, style="dim"), _text(cells[row] or NOTHING))
    return table


def _cards(report: Report) -> dict[str, str | None]:
    return {row: cells["card"] for row, cells in report["test_device"].items()}


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _text(words: str, style: str = "") -> Text:
    """Return a device's text without control characters, such as in a program's name."""
    return Text(one_line(words), style=style)


def _verdict(reports: Sequence[Report]) -> Text:
    good = sum(one["error"] is None for one in reports)
    style = "bold green" if good == len(reports) else "bold red"
    warned = sum((one["counts"] or {}).get("warn", 0) for one in reports)
    warnings = f", with {counted(warned, 'warning')}" if warned else ""
    if len(reports) == 1:
        (one,) = reports
        can = "can take" if good else "cannot take" if one["items"] else "could not be asked about"
        return Text(f"{one['name']} {can} {one['release'] or 'its release'}{warnings}.", style=style)
    return Text(f"{good} of {len(reports)} devices can take their release{warnings}.", style=style)
