"""``thorctl release show``: show the parts of a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.cli.context import Context, pass_context
from thorctl.cli.group import CommandGroup
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted
from thorctl.release import find as releases
from thorctl.release import licenses
from thorctl.release import memory as release_memory
from thorctl.release.render import yaml_value
from thorctl.result import Result
from thorctl.ui.format import NOTHING, data_size, memory_size

if TYPE_CHECKING:
    from thorctl.release.document import Release

# Parts of Memory, in display order.
MEMORY_PARTS = {
    "weights": "weights",
    "kv_cache": "KV cache",
    "headroom": "headroom",
    "graphs_and_workspace": "graphs, workspace",
}
EPILOG = """\b
Examples:
  thorctl release show tiny-qwable
  thorctl release show tiny-qwable-0123456789ab
  thorctl release show /tmp/preview --json
"""


@click.group("release", cls=CommandGroup)
def command() -> None:
    """Show what a release is made of."""


@command.command("show", short_help="Show image, checkpoint, memory, options and files.", epilog=EPILOG)
@click.argument("wanted", metavar="PROFILE|ID|FILE")
@click.option("--device-class", help="For a profile: [default: the first that can run the locked image]")
@pass_context
def show(ctx: Context, wanted: str, device_class: str | None) -> Result:
    """Show image digest, checkpoint commit and files, options, and the rendered files with their hashes.

    A table lists the engine's memory by parts, with the reasons.

    With --json: the whole release document, as sent to a device.
    """
    if device_class:
        release = releases.build(ctx.deploy, wanted, device_class)
    else:
        release = releases.find(ctx.deploy, wanted, Path(wanted))
    return Result("release", release.document(), view=view(release))


def view(release: Release) -> Group:
    """Format four tables: the release, its memory, the checkpoint's files, the rendered files."""
    image, checkpoint, license_ = release.lock.image, release.lock.checkpoint, release.lock.license
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    rows: list[tuple[str, str | Text]] = [
        ("release", Text(release.id, style="bold")),
        ("profile", f"{release.name}: {release.profile.description}"),
        ("device class", release.device_class.name),
        ("image", image.reference),
        ("digest", image.digest),
        ("", f"{image.platform}, {data_size(image.compressed_bytes)} compressed"),
        ("checkpoint", f"{checkpoint.repository}, {checkpoint.revision} of {checkpoint.endpoint}"),
        ("commit", checkpoint.commit),
        ("", f"{counted(len(checkpoint.files), 'file')}, {data_size(checkpoint.total_bytes)}"),
        ("license", licenses.told(release.profile.license, license_.hub, license_.accepted)),
        (
            "options",
            "\n".join(f"{k}: {yaml_value(v)}" for k, v in sorted(release.options.items())),
        ),
        (
            "environment",
            "\n".join(f"{k}={v}" for k, v in sorted(release.profile.environment.items())) or "–",
        ),
        ("smoke", f"{release.profile.smoke.sequential} in turn, {release.profile.smoke.concurrent} at once"),
    ]
    for row in rows:
        facts.add_row(*row)
    weights = [(file.path, file.size, file.sha256) for file in checkpoint.files]
    rendered = [
        (name, len(file.content.encode()), file.sha256) for name, file in sorted(release.files.items())
    ]
    return Group(
        facts,
        memory_table(release),
        files_table("checkpoint files", weights),
        files_table("rendered files", rendered),
    )


def memory_table(release: Release) -> Table:
    """Return each part of the engine's memory with its reason, and the sum."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("\nmemory")
    table.add_column("\nsize", justify="right")
    table.add_column("\nwhy", overflow="fold")
    memory = release.memory
    if memory is None:
        table.add_row("engine", NOTHING, "vLLM sizes its cache itself, by the memory that it finds")
        return table
    try:
        need = release_memory.needed(release.profile, release.lock, release.device_class)
    except ThorError:  # a release of another version
        need = None
    for name, label in MEMORY_PARTS.items():
        size = getattr(memory, f"{name}_bytes")
        part = need.parts[name] if need else None
        table.add_row(label, memory_size(size), part.why if part and part.bytes == size else "")
    of = f"{memory_size(release.device_class.memory_minimum_bytes)} or more of a {release.device_class.name}"
    share = "" if memory.utilization is None else f"gpu-memory-utilization {memory.utilization:g} "
    table.add_row(
        Text("engine", style="bold"), Text(memory_size(memory.total_bytes), style="bold"), f"{share}of {of}"
    )
    if need and need.warning:
        table.add_row(Text("warning", style="yellow"), "", Text(need.warning, style="yellow"))
    return table


def files_table(title: str, files: list[tuple[str, int, str]]) -> Table:
    """Format path, size and SHA-256 of each file; a narrow terminal cuts the hashes, --json has them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    longest = max(len(path) for path, _, _ in files)
    table.add_column(f"\n{title}", overflow="fold", min_width=min(longest, 60))
    table.add_column("\nsize", justify="right")
    table.add_column("\nsha256", overflow="ellipsis", no_wrap=True)
    for path, size, sha256 in files:
        table.add_row(path, data_size(size), sha256)
    return table
