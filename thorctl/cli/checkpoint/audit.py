"""``thorctl checkpoint audit``."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thorctl.checkpoint.audit import Grade, Verdict
from thorctl.checkpoint.audit import audit as audited
from thorctl.cli.checkpoint.source import HUB, opened
from thorctl.cli.context import Context, pass_context
from thorctl.protocol.plural import counted
from thorctl.protocol.sizes import gigabytes
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from thorctl.checkpoint.audit import Audit

EPILOG = """\b
Examples:
  thorctl checkpoint audit ./Qwable-v1-NVFP4A16
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16          headers by range requests, no weights
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16@main --json
"""


@click.command("audit", short_help="Compare a checkpoint with its card and vLLM's names.", epilog=EPILOG)
@click.argument("what", metavar="DIR|REPO[@REV]")
@click.option("--endpoint", default=HUB, show_default=True, help="Address of the hub of REPO.")
@click.option("--via", "pairs", multiple=True, metavar="NAME=URL", help="Reach a hub at another address.")
@pass_context
def command(ctx: Context, what: str, endpoint: str, pairs: tuple[str, ...]) -> Result:
    """Compare a checkpoint with the model card's "What's quantized" and with what vLLM would load.

    Reads config, tokenizer, the headers of all shards and the global scales; from a hub by range requests.
    Ends with a verdict: serve it, repair it first, or do not serve it. Exit code 0 if it can be served, also
    if a repair can wait; 1 if it should not be served, or could not be judged, with the reasons.
    """
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Reading {escape(what)}"))
        source = stack.enter_context(opened(what, endpoint, pairs))
        found = audited(source, lambda step: status.update(f"Reading {escape(what)}: {escape(step)}"))
    errors = problems(found)
    return Result(
        "checkpoint audit",
        {**asdict(found), "off": list(found.off)},
        errors,
        exit_code=1 if errors else 0,
        view=audit_view(found),
    )


def problems(found: Audit) -> tuple[Problem, ...]:
    """Return why a checkpoint should not be served unchanged."""
    errors = [
        Problem("checkpoint_off", one.line, one.remedy)
        for one in found.findings
        if one.grade >= Grade.REPAIR_FIRST
    ]
    if found.verdict is Verdict.NOT_JUDGED:
        remedy = "Try it on one device with a profile of its own, whose smoke test checks its answers."
        errors.append(Problem("checkpoint_not_judged", f"{found.name} is {found.advice}.", remedy))
    return tuple(errors)


def audit_view(found: Audit) -> Group:
    """Format the card's table as measured, the scales, the size, the verdict."""
    title = f"{found.name}: {found.dialect}; {found.layers} layers, {found.experts} experts each"
    table = Table(header_style="bold")
    table.add_column("what")
    table.add_column("format")
    for column in ("modules", "weights", "bytes"):
        table.add_column(column, justify="right")
    for row in found.rows:
        table.add_row(row.kind, row.format, f"{row.modules:,}", f"{row.weights:,}", gigabytes(row.bytes))
    lines: list[str | Text] = [
        (
            f"on disk {gigabytes(found.disk_bytes)}, as BF16 {gigabytes(found.bf16_bytes)} "
            f"({found.bf16_bytes / found.disk_bytes:.2f} ×)"
        ),
        "MTP head " + ("present" if found.mtp else "missing: speculation (switch `mtp`) is not possible"),
    ]
    for kind in found.fused:
        state = (
            (f"{counted(kind.differ, 'differs', 'differ')}, up to {kind.worst_ratio:.4g} ×", "red")
            if kind.differ
            else ("all agree", "green")
        )
        lines.append(Text.assemble(f"global scales, {kind.groups:,} {kind.kind}: ", state))
    lines += [
        Text(f"note: {one.line}. {one.remedy}") for one in found.findings if one.grade < Grade.REPAIR_FIRST
    ]
    good = found.verdict in {Verdict.SERVE, Verdict.REPAIR_LATER}
    lines.append(Text(found.advice, style="green" if good else "red"))
    return Group(Text(title, style="italic"), table, *lines)
