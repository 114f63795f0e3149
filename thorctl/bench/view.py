"""Format benchmarks for a terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from thorctl.bench import card as cards
from thorctl.bench.verdict import NAMES
from thorctl.protocol.plural import counted
from thorctl.ui.format import NOTHING, age, celsius

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from thorctl.bench.card import Row
    from thorctl.bench.compare import Change
    from thorctl.bench.verdict import Outcome
    from thorctl.protocol.bench import Measurement
    from thorctl.release.profile import Card
    from thorctl.store.baselines import Baseline

INDENT = 2


def view(outcomes: Sequence[Outcome], card_of: Mapping[str, Card | None], now: datetime) -> RenderableType:
    """Format every device: the card's table, its limit, its condition, its baseline; then the verdict.

    Args:
        outcomes: in the order of the inventory.
        card_of: release → the model card of its profile.
        now: for ages.
    """
    parts: list[RenderableType] = []
    for outcome in outcomes:
        parts.append(_head(outcome))
        if outcome.measurement:
            card = card_of.get(outcome.measurement.release)
            below: list[RenderableType] = [_card(cards.table(outcome.measurement, card)), Text()]
            below += [_fact(*fact) for fact in facts(outcome.measurement)]
            below += [
                _fact("" if n else "baseline", words) for n, words in enumerate(_baseline(outcome, now))
            ]
            parts.append(Padding(Group(*below), (0, 0, 0, INDENT)))
        parts.append(Text())
    if len(outcomes) > 1:
        parts += [_fleet(outcomes), Text()]
    return Group(*parts, _verdict(outcomes))


def _fleet(outcomes: Sequence[Outcome]) -> Table:
    """Format one line per device: its decode speeds, and their changes against its baseline."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Decode, tok/s", overflow="fold")
    for title in ("Single", "Identical", "Different"):
        table.add_column(title, justify="right")
    for outcome in outcomes:
        cells = [NOTHING] * 3
        if found := outcome.measurement:
            changed = {one.what: f" ({one.relative:+.0%})" for one in _changes(outcome)}
            speeds = {"single": found.measured.single, "identical": found.measured.identical}
            speeds |= {"different": found.measured.different}
            cells = [f"{speeds[one].decode_tokens_per_second:.1f}{changed.get(one, '')}" for one in speeds]
        style = "red" if outcome.problem else ""
        table.add_row(*(Text(cell, style=style) for cell in (outcome.device, *cells)))
    return table


def _changes(outcome: Outcome) -> Sequence[Change]:
    return outcome.comparison.changes if outcome.comparison else ()


def _head(outcome: Outcome) -> Text:
    line = Text.assemble((outcome.device, "bold"))
    if release := outcome.answer.data.get("release"):
        line.append(f"  {release}")
    if outcome.problem:
        line.append(f"  {_WORDS.get(outcome.problem.code, outcome.problem.code)}", style="bold red")
    elif outcome.keep:
        line.append("  measured: this is its baseline now", style="bold green")
    else:
        tolerance = outcome.comparison.tolerance if outcome.comparison else 0.0
        line.append(f"  within {tolerance:.0%} of its baseline", style="bold green")
    return line


_WORDS = {
    "bench_slower": "slower than its baseline",
    "bench_incomparable": "measured, but not comparable with its baseline",
    "over_current": "measured while it throttled",
    "baseline_unreadable": "measured, but its baseline cannot be read",
}


def _card(rows: Sequence[Row]) -> Table:
    """Return the card's columns beside ours, without empty ones."""
    columns: list[tuple[str, list[str]]] = [("This device", [_number(row.device) for row in rows])]
    if any(row.model is not None for row in rows):
        columns.append(("This model", [_number(row.model) for row in rows]))
    if any(row.source is not None for row in rows):
        columns.append(("BF16 source", [_number(row.source) for row in rows]))
    if any(row.share is not None for row in rows):
        columns.append(("Share", [NOTHING if row.share is None else f"{row.share:.0%}" for row in rows]))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Generation speed", overflow="fold")
    for title, _ in columns:
        table.add_column(title, justify="right")
    for number, row in enumerate(rows):
        style = "" if row.device is not None else "dim"
        table.add_row(Text(row.what, style=style), *(Text(cells[number]) for _, cells in columns))
    return table


def facts(found: Measurement) -> list[tuple[str, str]]:
    """Return the other recorded facts: title and text."""
    first, last, method = found.before, found.after, found.method
    locked = {True: "clocks locked", False: "clocks not locked", None: "clocks unknown"}
    events = found.over_current_events
    heat = f"hottest sensor {celsius(first.hottest)} before, {celsius(last.hottest)} after"
    current = "over-current events unknown" if events is None else f"{events} over-current events"
    power = f"{first.power_mode or 'power mode unknown'}, {locked[first.clocks_locked]}; {heat}; {current}"
    engine = f"vLLM {found.engine.vllm_version or 'of unknown version'}, image {_digest(found)}"
    engine += f"; L4T {first.l4t or 'not known'}"
    if found.engine.alone is None:
        engine += "; whether others used it meanwhile is not known"
    prompt = round(found.measured.single.input_tokens / found.measured.single.requests)
    sizes = f"{prompt} tokens in, {method.tokens} out, greedy; {method.requests} one by one, "
    sizes += f"{method.rounds} × {method.at_once} at once, twice"
    if found.seconds is not None:
        sizes += f"; {found.seconds:.0f} s in all"
    return [("memory", _memory(found)), ("condition", power), ("engine", engine), ("method", sizes)]


def _memory(found: Measurement) -> str:
    if found.bytes_per_token is None:
        return f"how much a token reads is not known: {found.unknown or 'the device does not say'}"
    total = f"a token reads {found.bytes_per_token['total'] / 1e9:.3f} GB"
    reached = found.roofline
    if reached is None or reached.share is None or not reached.bandwidth_bytes_per_second:
        return f"{total}; the device class gives no memory bandwidth"
    return (
        f"{total}; {reached.bandwidth_bytes_per_second / 1e9:.0f} GB/s allow "
        f"{reached.limit_tokens_per_second:.1f} tok/s, of which one stream reaches {reached.share:.0%}"
    )


def _digest(found: Measurement) -> str:
    digest = found.engine.image_digest
    return digest[: len("sha256:") + 12] if digest else "not known"


def _baseline(outcome: Outcome, now: datetime) -> list[str]:
    before, compared = outcome.baseline, outcome.comparison
    if before is None:
        return ["none before this; this is it now"] if outcome.keep else ["none"]
    lines = [f"{age(before.set_at, now)}, by {before.set_by}"]
    if changed := _changes(outcome):
        changes = (
            f"{NAMES[one.what]} {one.baseline:.1f} → {one.now:.1f} tok/s ({one.relative:+.1%})"
            for one in changed
        )
        lines.append("; ".join(changes))
    if compared and compared.conditions:
        lines.append(f"what differs: {'; '.join(compared.conditions)}")
    if outcome.keep:
        lines.append("replaced by this measurement")
    return lines


def _fact(title: str, words: str) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=len("condition"), style="dim", no_wrap=True)
    line.add_column()
    line.add_row(title, Text(words))
    return line


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def _verdict(outcomes: Sequence[Outcome]) -> Text:
    good = sum(outcome.problem is None for outcome in outcomes)
    style = "bold green" if good == len(outcomes) else "bold red"
    return Text(
        f"{good} of {counted(len(outcomes), 'device')} measured and no slower than before.", style=style
    )


def plan_view(
    planned: Sequence[tuple[str, dict[str, Any], Baseline | None]], now: datetime
) -> RenderableType:
    """Format a dry run: device, data of ``bench --dry-run``, the baseline for the comparison."""
    parts: list[RenderableType] = []
    for device, data, baseline in planned:
        parts.append(Text.assemble((device, "bold"), f"  {data.get('release')}"))
        then = (
            f"compared with the baseline of {age(baseline.set_at, now)}, by {baseline.set_by}"
            if baseline
            else "kept as its baseline: there is none"
        )
        parts.append(Text(f"  would be measured, in the engine's container, and {then}:"))
        parts += [Text(f"  {shlex.join(words)}") for words in data["method"]["commands"]]
        parts.append(Text())
    return Group(*parts, Text("Nothing was run."))
