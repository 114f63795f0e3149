"""``thorctl checkpoint quantize``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
from rich.markup import escape

from thorctl.checkpoint import quantize as quantizes
from thorctl.checkpoint import quantize_view
from thorctl.checkpoint import split as splits
from thorctl.checkpoint.llm_compressor import LlmCompressor
from thorctl.checkpoint.partial import require_free
from thorctl.cli.checkpoint.source import HUB, opened
from thorctl.cli.context import Context, pass_context
from thorctl.protocol.sizes import gigabytes
from thorctl.result import Result

EPILOG = """\b
Examples:
  thorctl checkpoint quantize lordx64/Qwable-v1 --out ./Qwable-v1-NVFP4A16 --dry-run    headers only
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16 --device cuda
"""


@click.command("quantize", short_help="Make an NVFP4A16 checkpoint from a BF16 one.", epilog=EPILOG)
@click.argument("what", metavar="SOURCE")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="New folder; its name becomes the checkpoint's.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, from headers alone; write nothing.")
@click.option("--device", default="cpu", show_default=True, help="Device that computes: cpu, cuda, cuda:1, …")
@click.option(
    "--endpoint", default=HUB, show_default=True, help="Address of the hub of SOURCE, for --dry-run."
)
@click.option("--via", "pairs", multiple=True, metavar="NAME=URL", help="Reach a hub at another address.")
@pass_context
def command(
    ctx: Context,
    *,
    what: str,
    out: Path,
    dry_run: bool,
    device: str,
    endpoint: str,
    pairs: tuple[str, ...],
) -> Result:
    """Make an NVFP4A16 checkpoint with the model card's split from the BF16 one in the folder SOURCE.

    The arithmetic is llm-compressor's (the extra `quantize`: docs/how-to/checkpoint.md). Matrices that vLLM
    loads as one share their global scale, so there is nothing to repair. SOURCE is only read. A run that was
    stopped continues at the file where it was. The result is decoded, read back and audited before it gets
    its name. The same source, versions and device give the same bytes. --dry-run accepts a repository too.
    """
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Reading {escape(what)}"))
        source = stack.enter_context(opened(what, endpoint, pairs))
        that = splits.split(source)
        data = quantize_view.planned(that, out)
        if dry_run:
            return Result("checkpoint quantize", data, view=quantize_view.plan(that, out))
        require_free(quantizes.require_local(source), out)
        status.update("Loading llm-compressor")
        quantizer = LlmCompressor(device)
        done = quantizes.quantize(
            that,
            out,
            quantizer,
            lambda step, at, total: status.update(f"{escape(step)}: {gigabytes(at)} of {gigabytes(total)}"),
        )
    data |= quantize_view.done(done)
    return Result("checkpoint quantize", data, view=quantize_view.report(done, out))
