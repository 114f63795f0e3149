"""Format the result of a smoke test as text and as JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.protocol.encode import encode
from thorctl.protocol.plural import counted, form
from thorctl.protocol.smoke import SmokeReport
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from thorctl.protocol.smoke import CheckResult, Generation
    from thorctl.remote.answer import Answer


def as_json(answer: Answer) -> dict[str, Any]:
    """Return one device of ``data.devices``; ``passed`` is None if the device did not answer."""
    report = answer.get(SmokeReport)
    found = encode(report) if report else {}
    keys = (
        "release",
        "passed",
        "checks",
        "results",
        "asked_again",
        "sampling",
        "tokens_per_second",
        "seconds",
    )
    return {
        "name": answer.device,
        "reachable": answer.reached,
        "generations": found.get("generations") or [],
        **{key: found.get(key) for key in keys},
        "error": asdict(answer.error) if answer.error else None,
    }


def view(answers: Sequence[Answer], *, verbose: bool = False) -> RenderableType:
    """Format one line per device with its failures below; ``verbose``: every prompt and every check."""
    parts: list[RenderableType] = []
    for answer in answers:
        report = answer.get(SmokeReport)
        parts.append(_head(answer, report))
        if report is None:
            continue
        if verbose:
            for number, generation in enumerate(report.generations, 1):
                parts += [Text(), *_generation(number, generation)]
            parts += [Text(), *map(_result, report.results), Text()]
        else:
            failed = [one for one in enumerate(report.generations, 1) if one[1].failed_checks]
            for number, generation in failed:
                parts += _generation(number, generation)
            told = {check.check for _, one in failed for check in one.failed_checks}
            parts += [
                _result(one) for one in report.results if one.result == "failed" and one.name not in told
            ]
        if report.asked_again:
            parts.append(_asked_again(report.asked_again))
    return Group(*parts, _verdict(answers))


def _result(result: CheckResult) -> Text:
    word = result.result.replace("_", " ")
    style = {"passed": "green", "failed": "bold red"}.get(word, "dim")
    line = Text.assemble("    ", (one_line(word), style), f"  {one_line(result.name)}")
    return line.append(f": {one_line(result.reason)}")


def _asked_again(first: Generation) -> Text:
    failed = "; ".join(f"{check.check}: {check.detail}" for check in first.failed_checks)
    return Text(f"    asked again  {one_line(first.prompt_name)}: {one_line(failed)}", style="dim")


def _head(answer: Answer, report: SmokeReport | None) -> Text:
    line = Text.assemble((answer.device, "bold"))
    if report:
        line.append(f"  {one_line(report.release)}")
    if answer.ok:
        line.append("  passed", style="bold green")
    elif answer.error:
        line.append("  failed" if report else f"  {one_line(answer.error.code)}", style="bold red")
    if report is None:
        return line
    if report.tokens_per_second is not None:
        line.append(f"  {report.tokens_per_second:.1f} tokens/s")
    if report.seconds is not None:
        line.append(f"  {report.seconds:.1f} s in all")
    if report.results:
        left_out = sum(one.result == "not_asked" for one in report.results)
        line.append(f"  {counted(len(report.results) - left_out, 'check')}")
        line.append(f", {left_out} not asked" if left_out else "")
    return line


def _generation(number: int, generation: Generation) -> list[RenderableType]:
    failed, tokens = generation.failed_checks, generation.tokens
    mark = ("failed", "bold red") if failed else ("ok", "green")
    figures = (
        f"{tokens if tokens is not None else '?'} {form(tokens or 0, 'token')}, {generation.seconds:.1f} s"
    )
    name = one_line(generation.prompt_name)
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_row("   ", "asked", Text(one_line(generation.prompt)))
    if thinking := one_line(generation.thinking):
        lines.add_row("", Text("thought", style="dim"), Text(thinking, style="dim italic"))
    lines.add_row("", "answered", Text(one_line(generation.answer) or "(nothing)"))
    for check in failed:
        lines.add_row("", "failed", Text(f"{check.check}: {check.detail}", style="red"))
    return [Text.assemble(f"{number:>2}  ", mark, "  ", (name, "bold"), f"  {figures}"), lines]


def _verdict(answers: Sequence[Answer]) -> Text:
    good = sum(answer.ok for answer in answers)
    style = "bold green" if good == len(answers) else "bold red"
    return Text(f"{good} of {counted(len(answers), 'device')} passed the smoke test.", style=style)
