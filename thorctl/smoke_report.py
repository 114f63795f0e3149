"""What a smoke said, for people and for programs. Pure: the agent's data in, text and JSON out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from thorctl.answer import Answer


def as_json(answer: Answer) -> dict[str, Any]:
    """One device of ``data.devices``; ``passed`` is None when the device could not be asked."""
    data = answer.data
    return {
        "name": answer.device,
        "reachable": answer.reached,
        "release": data.get("release"),
        "passed": data.get("passed") if answer.ok or data else None,
        "generations": data.get("generations") or [],
        "checks": data.get("checks"),
        "tokens_per_second": data.get("tokens_per_second"),
        "seconds": data.get("seconds"),
        "error": asdict(answer.error) if answer.error else None,
    }


def view(answers: Sequence[Answer]) -> RenderableType:
    """Every prompt of every device with its text, tokens, seconds and verdict."""
    parts: list[RenderableType] = []
    for answer in answers:
        parts += [_head(answer), Text()]
        for number, generation in enumerate(answer.data.get("generations") or [], 1):
            parts += [*_generation(number, generation), Text()]
    return Group(*parts, _verdict(answers))


def _head(answer: Answer) -> Text:
    data = answer.data
    line = Text.assemble((answer.device, "bold"))
    if release := data.get("release"):
        line.append(f"  {one_line(release)}")
    if answer.ok:
        line.append("  passed", style="bold green")
    elif answer.error:
        line.append("  failed" if data else f"  {one_line(answer.error.code)}", style="bold red")
    if isinstance(data.get("tokens_per_second"), int | float):
        line.append(f"  {data['tokens_per_second']:.1f} tokens/s")
    if isinstance(data.get("seconds"), int | float):
        line.append(f"  {data['seconds']:.1f} s in all")
    return line


def _generation(number: int, generation: Mapping[str, Any]) -> list[RenderableType]:
    failed = generation.get("failed_checks") or []
    mark = ("failed", "bold red") if failed else ("ok", "green")
    tokens, seconds = generation.get("tokens"), generation.get("seconds")
    counted = f"{tokens if tokens is not None else '?'} tokens, "
    counted += f"{seconds:.1f} s" if isinstance(seconds, int | float) else "? s"
    name = one_line(generation.get("prompt_name") or "prompt")
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_row("   ", "asked", Text(one_line(generation.get("prompt"))))
    if thinking := one_line(generation.get("thinking")):
        lines.add_row("", Text("thought", style="dim"), Text(thinking, style="dim italic"))
    lines.add_row("", "answered", Text(one_line(generation.get("answer")) or "(nothing)"))
    for check in failed:
        lines.add_row("", "failed", Text(f"{check.get('check')}: {check.get('detail')}", style="red"))
    return [Text.assemble(f"{number:>2}  ", mark, "  ", (name, "bold"), f"  {counted}"), lines]


def _verdict(answers: Sequence[Answer]) -> Text:
    good = sum(answer.ok for answer in answers)
    noun = "device" if len(answers) == 1 else "devices"
    style = "bold green" if good == len(answers) else "bold red"
    return Text(f"{good} of {len(answers)} {noun} passed the smoke test.", style=style)
