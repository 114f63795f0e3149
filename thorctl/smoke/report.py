"""Format the result of a smoke test as text and as JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.protocol.plural import counted, form
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from thorctl.remote.answer import Answer


def as_json(answer: Answer) -> dict[str, Any]:
    """Return one device of ``data.devices``; ``passed`` is None if the device did not answer."""
    data = answer.data
    return {
        "name": answer.device,
        "reachable": answer.reached,
        "release": data.get("release"),
        "passed": data.get("passed") if answer.ok or data else None,
        "generations": data.get("generations") or [],
        "checks": data.get("checks"),
        "results": data.get("results"),
        "asked_again": data.get("asked_again"),
        "sampling": data.get("sampling"),
        "tokens_per_second": data.get("tokens_per_second"),
        "seconds": data.get("seconds"),
        "error": asdict(answer.error) if answer.error else None,
    }


def view(answers: Sequence[Answer], *, verbose: bool = False) -> RenderableType:
    """Format one line per device with its failures below; ``verbose``: every prompt and every check."""
    parts: list[RenderableType] = []
    for answer in answers:
        parts.append(_head(answer))
        generations = answer.data.get("generations") or []
        if verbose:
            for number, generation in enumerate(generations, 1):
                parts += [Text(), *_generation(number, generation)]
            parts += [Text(), *map(_result, _results(answer)), Text()]
        else:
            failed = [one for one in enumerate(generations, 1) if one[1].get("failed_checks")]
            for number, generation in failed:
                parts += _generation(number, generation)
            told = {check.get("check") for _, one in failed for check in one["failed_checks"]}
            parts += [_result(one) for one in _results(answer) if _failed_alone(one, told)]
        if again := answer.data.get("asked_again"):
            parts.append(_asked_again(again))
    return Group(*parts, _verdict(answers))


def _results(answer: Answer) -> list[Mapping[str, Any]]:
    """Return every check by its name; [] from an agent of an earlier version."""
    results = answer.data.get("results")
    return [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []


def _failed_alone(result: Mapping[str, Any], told: set[str | None]) -> bool:
    """Return whether a check failed that is not in a generation's lines."""
    return result.get("result") == "failed" and result.get("name") not in told


def _result(result: Mapping[str, Any]) -> Text:
    word = str(result.get("result")).replace("_", " ")
    style = {"passed": "green", "failed": "bold red"}.get(word, "dim")
    line = Text.assemble("    ", (one_line(word), style), f"  {one_line(result.get('name'))}")
    return line.append(f": {one_line(result.get('reason'))}")


def _asked_again(first: Mapping[str, Any]) -> Text:
    failed = "; ".join(
        f"{check.get('check')}: {check.get('detail')}" for check in first.get("failed_checks") or []
    )
    return Text(f"    asked again  {one_line(first.get('prompt_name'))}: {one_line(failed)}", style="dim")


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
    if results := _results(answer):
        left_out = sum(one.get("result") == "not_asked" for one in results)
        asked = len(results) - left_out
        line.append(f"  {counted(asked, 'check')}")
        line.append(f", {left_out} not asked" if left_out else "")
    return line


def _generation(number: int, generation: Mapping[str, Any]) -> list[RenderableType]:
    failed = generation.get("failed_checks") or []
    mark = ("failed", "bold red") if failed else ("ok", "green")
    tokens, seconds = generation.get("tokens"), generation.get("seconds")
    figures = f"{tokens if tokens is not None else '?'} {form(tokens or 0, 'token')}, "
    figures += f"{seconds:.1f} s" if isinstance(seconds, int | float) else "? s"
    name = one_line(generation.get("prompt_name") or "prompt")
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_row("   ", "asked", Text(one_line(generation.get("prompt"))))
    if thinking := one_line(generation.get("thinking")):
        lines.add_row("", Text("thought", style="dim"), Text(thinking, style="dim italic"))
    lines.add_row("", "answered", Text(one_line(generation.get("answer")) or "(nothing)"))
    for check in failed:
        lines.add_row("", "failed", Text(f"{check.get('check')}: {check.get('detail')}", style="red"))
    return [Text.assemble(f"{number:>2}  ", mark, "  ", (name, "bold"), f"  {figures}"), lines]


def _verdict(answers: Sequence[Answer]) -> Text:
    good = sum(answer.ok for answer in answers)
    style = "bold green" if good == len(answers) else "bold red"
    return Text(f"{good} of {counted(len(answers), 'device')} passed the smoke test.", style=style)
