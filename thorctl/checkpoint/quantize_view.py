"""Format the output of ``thorctl checkpoint quantize`` before and after the run."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.checkpoint import quantize as quantizes
from thorctl.checkpoint.headers import build
from thorctl.checkpoint.split import by_kind
from thorctl.protocol.plural import counted
from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.checkpoint.quantize import Quantized
    from thorctl.checkpoint.split import Matrix, Split


def planned(that: Split, out: Path) -> dict[str, Any]:
    """Return the data of a dry run."""
    sizes = quantizes.sizes(that)
    return {
        "out": str(out),
        "written": False,
        "matrices": len(that.matrices),
        "bytes_before": sum(that.source.sizes[path] for path in sizes),
        "bytes_after": sum(sizes.values()),
        "rows": [row for row, _ in _rows(that)],
        "source_off": list(that.off),
    }


def plan(that: Split, out: Path) -> Group:
    """Format the card's split with sizes."""
    data = planned(that, out)
    table = Table(title=f"{that.source.name} as NVFP4A16", title_justify="left", header_style="bold")
    table.add_column("what")
    table.add_column("becomes")
    for column in ("tensors", "as BF16", "then"):
        table.add_column(column, justify="right")
    for row, kind in _rows(that):
        table.add_row(
            kind,
            row["format"],
            f"{row['tensors']:,}",
            gigabytes(row["bytes_before"]),
            gigabytes(row["bytes_after"]),
        )
    return Group(
        table,
        f"on disk {gigabytes(data['bytes_before'])}, then {gigabytes(data['bytes_after'])} "
        f"({data['bytes_before'] / data['bytes_after']:.2f} ×)",
        *(Text.assemble(("as in the source:", "yellow"), f" {line}") for line in that.off),
        f"Would write {len(quantizes.sizes(that))} files to {out}; {that.source.name} is not changed.",
    )


def done(that: Quantized) -> dict[str, Any]:
    """Return the data of a run. Memory is this process's peak, the quantizer's included."""
    return {
        "written": True,
        "resumed_files": that.resumed,
        "peak_memory_bytes": peak_memory(),
        "tools": that.manifest.tools,
        **that.manifest.figures,
    }


def report(that: Quantized, out: Path) -> Text:
    """Format the result and its costs."""
    before = int(that.manifest.figures["bytes_before"])
    return Text.assemble(
        (str(out), "bold"),
        f": {that.manifest.figures['matrices']:,} matrices quantized, "
        f"{gigabytes(that.bytes)} on disk, {gigabytes(before)} before ({before / that.bytes:.2f} ×)\n"
        f"weight error against BF16: {that.error.relative:.2%} (worst matrix {that.error.worst:.1%})\n"
        "audit: ",
        ("global scales agree", "green"),
        f"; peak memory {gigabytes(peak_memory())}"
        + (
            f"\n{counted(that.resumed, 'file was', 'files were')} complete from an earlier run"
            if that.resumed
            else ""
        ),
    )


def peak_memory() -> int:
    """Return this process's peak memory in bytes (getrusage(2) counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _rows(that: Split) -> list[tuple[dict[str, Any], str]]:
    rows = []
    for quantized, matrices in ((True, that.matrices), (False, that.kept)):
        for kind, members in by_kind(matrices).items():
            row = {
                "kind": kind.name.lower(),
                "format": "NVFP4" if quantized else "BF16",
                "tensors": len(members),
                "bytes_before": sum(member.bytes for member in members),
                "bytes_after": sum(_bytes(member, quantized) for member in members),
            }
            rows.append((row, str(kind)))
    return rows


def _bytes(matrix: Matrix, quantized: bool) -> int:
    if not quantized:
        return matrix.bytes
    return sum(tensor.bytes for tensor in build(matrix.quantized)[1].values())
