"""``thorctl render``: write the files of a release to a folder."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.syntax import Syntax
from rich.text import Text
from rich.tree import Tree

from thorctl.cli.context import Context, pass_context
from thorctl.errors import ThorError
from thorctl.files import atomic
from thorctl.release import find as releases
from thorctl.release.render import FILES
from thorctl.result import Result
from thorctl.ui.format import memory_size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thorctl.release.document import Release

EPILOG = """\b
Examples:
  thorctl render tiny-qwable --out /tmp/preview
  thorctl render tiny-qwable --out /tmp/new --diff /tmp/preview
  thorctl render qwable-v1-nvfp4a16-upstream --device-class jetson-agx-thor --out /tmp/thor --force
"""


@click.command("render", epilog=EPILOG)
@click.argument("name", metavar="PROFILE")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write to."
)
@click.option("--device-class", help="[default: the first of the profile's that can run the locked image]")
@click.option(
    "--diff",
    "other",
    type=click.Path(path_type=Path),
    help="Also show the difference from another release: a folder or a release.json.",
)
@click.option("--force", is_flag=True, help="Replace the files of an earlier render in the folder.")
@pass_context
def command(
    ctx: Context, *, name: str, out: Path, device_class: str | None, other: Path | None, force: bool
) -> Result:
    """Write the files of PROFILE's release, and its release.json, to a folder. Changes no device.

    The same function renders for the devices. @RELEASE_ID@ is a placeholder for the release's id, which is
    the hash of these files and their sources.
    """
    release = releases.build(ctx.deploy, name, device_class)
    before = releases.read(other) if other else None
    write(release, out, force)
    diffs = differences(before, release) if before else {}
    data = {
        "release": release.id,
        "out": str(out),
        "memory_bytes": release.memory.total_bytes if release.memory else None,
        "files": {file: release.files[file].sha256 for file in sorted(release.files)},
        "diff": diffs,
    }
    return Result("render", data, view=view(release, out, before, diffs))


def write(release: Release, out: Path, force: bool) -> None:
    """Write the files and release.json; replace existing files only with ``force``.

    Raises:
        ThorError: ``out_not_empty``, ``out_foreign``.
    """
    if out.is_dir() and any(out.iterdir()):
        if not force:
            raise ThorError(
                "out_not_empty",
                f"{out} is not empty.",
                "Choose another folder, or replace the files of an earlier render with --force.",
            )
        clear(out)
    out.mkdir(parents=True, exist_ok=True)
    for file, rendered in release.files.items():
        atomic.write(out / file, rendered.content)
    atomic.write(out / "release.json", release.text())


def clear(out: Path) -> None:
    """Remove the files of an earlier render; refuse if there are others, as in a mistyped --out."""
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in rendered(out))
    if foreign:
        raise ThorError(
            "out_foreign",
            f"{out} has files that are not of a render: {', '.join(foreign[:5])}.",
            "Choose another folder.",
        )
    for entry in out.iterdir():
        entry.unlink()


def rendered(out: Path) -> set[str]:
    """Return the names of an earlier render's files in ``out``, by its own release.json if readable."""
    names = {*FILES, "release.json"}
    try:
        return names | set(json.loads((out / "release.json").read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return names


def differences(before: Release, after: Release) -> dict[str, str]:
    """Return unified diffs by file, without equal files."""
    found = {}
    for file in sorted({*before.files, *after.files}):
        old = before.files[file].content if file in before.files else ""
        new = after.files[file].content if file in after.files else ""
        lines = difflib.unified_diff(
            old.splitlines(keepends=True),
            new.splitlines(keepends=True),
            f"{before.id}/{file}",
            f"{after.id}/{file}",
        )
        text = "".join(lines)
        if text:
            found[file] = text
    return found


def view(release: Release, out: Path, before: Release | None, diffs: dict[str, str]) -> object:
    """Format the folder as a tree, the id, the differences."""
    tree = Tree(Text(str(out), style="bold"))
    for file in sorted(release.files):
        size = len(release.files[file].content.encode())
        tree.add(Text.assemble(f"{file}  ", (f"{size} bytes", "dim")))
    tree.add("release.json")
    parts: list[RenderableType] = [
        tree,
        Text.assemble("release ", (release.id, "bold"), f"  for {release.device_class.name}"),
    ]
    if release.memory:
        parts.append(f"memory of the engine: {memory_size(release.memory.total_bytes)}")
    if before is not None and not diffs:
        parts.append(f"No file differs from {before.id}.")
    parts += [Syntax(text, "diff", background_color="default", word_wrap=True) for text in diffs.values()]
    return Group(*parts)
