"""``thorctl checkpoint repair``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.text import Text

from thorctl.checkpoint import repair as repairs
from thorctl.checkpoint.source import Folder
from thorctl.cli.context import Context, pass_context
from thorctl.protocol.plural import counted, form
from thorctl.protocol.sizes import gigabytes
from thorctl.result import Result

if TYPE_CHECKING:
    from thorctl.checkpoint.reconcile import WeightError
    from thorctl.checkpoint.repair import Repaired

EPILOG = """\b
Examples:
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled --dry-run
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled
"""


@click.command("repair", short_help="Write a copy with shared global scales.", epilog=EPILOG)
@click.argument("original", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="New folder; its name becomes the checkpoint's.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@pass_context
def command(ctx: Context, original: Path, out: Path, dry_run: bool) -> Result:
    """Write a copy of DIR in which matrices that vLLM loads as one share their global scale.

    The FP8 block scales are rewritten; the FP4 weights stay, bit for bit. DIR is only read. A run that was
    stopped continues where it was. The copy is read back and audited before it gets its name.
    """
    that = repairs.opened(Folder(original))
    data: dict[str, Any] = {
        "out": str(out),
        "groups": len(that.groups),
        "to_mend": len(that.differ),
        "worst_ratio": max(group.ratio for group in that.differ),
        "bytes": that.bytes,
        "written": False,
    }
    if dry_run:
        text = (
            f"{original.name}: {data['to_mend']} of {counted(data['groups'], 'fused group')} "
            f"{form(data['to_mend'], 'has', 'have')} global scales to repair"
            f"{_up_to(data['worst_ratio'])}.\nWould write {gigabytes(that.bytes)} to {out}; "
            f"{original} is not changed."
        )
        return Result("checkpoint repair", data, view=text)
    with ctx.messages.status("Repairing") as status:
        done = repairs.repair(
            that,
            out,
            lambda step, at, total: status.update(f"{escape(step)}: {gigabytes(at)} of {gigabytes(total)}"),
        )
    data |= {"written": True, "resumed_files": done.resumed, **done.manifest.figures}
    data |= {"worst_error_before": done.before.worst, "worst_error_after": done.after.worst}
    return Result("checkpoint repair", data, view=repair_view(done, out))


def _up_to(ratio: float) -> str:
    """Format the ratio of the scales, which zero matrices do not have."""
    return f", up to {ratio:.3g} × apart" if ratio > 1 else ", all of them at zero matrices"


def _error(before: WeightError, after: WeightError) -> list[str | tuple[str, str]]:
    if not before.squared_weights:
        return ["all repaired matrices are zero: no weight changes"]
    return [
        f"weight error as vLLM reads them: {before.relative:.2%} before (worst group {before.worst:.1%}), ",
        (f"{after.relative:.2%}", "green"),
        f" after ({after.worst:.1%})",
    ]


def repair_view(done: Repaired, out: Path) -> Text:
    """Format the result of a repair."""
    return Text.assemble(
        (str(out), "bold"),
        f": {done.repaired} of {counted(done.groups, 'fused group')} repaired{_up_to(done.worst_ratio)}\n",
        *_error(done.before, done.after),
        (
            f"\n{counted(done.resumed, 'file was', 'files were')} complete from an earlier run"
            if done.resumed
            else ""
        ),
    )
