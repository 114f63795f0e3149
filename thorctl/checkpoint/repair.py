"""Rewrites a checkpoint so that fused matrices share their global scale. The original is only read.

File by file into a hidden folder beside the result: copied, patched, flushed, read back, noted in a
journal. A run that was killed goes on behind the last noted file. Patches follow from the original alone,
so a file done twice is the same. At the end the whole is audited, and only then gets its name.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint import copying, inventory, scales
from thorctl.checkpoint.audit import audit
from thorctl.checkpoint.manifest import NAME, Manifest, Origin
from thorctl.checkpoint.modules import gather
from thorctl.checkpoint.patch import mend
from thorctl.checkpoint.reconcile import WeightError
from thorctl.checkpoint.source import Folder
from thorctl.errors import ThorError
from thorctl.lock import LockedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.patch import Patch
    from thorctl.checkpoint.scales import Group

JOURNAL = ".journal.json"
SPARE = 64 << 20  # bytes left free beside the copy


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint with all that its headers and scales say."""

    source: Folder
    inventory: Inventory
    modules: dict[str, Module]
    groups: list[Group]

    @property
    def differ(self) -> list[Group]:
        """Groups to mend."""
        return [group for group in self.groups if group.differ]

    @property
    def bytes(self) -> int:
        """To be written."""
        return sum(self.source.sizes.values())


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done. Errors are relative to the mended groups' weights, as vLLM reads them."""

    manifest: Manifest
    groups: int
    mended: int
    worst_ratio: float
    before: WeightError
    after: WeightError
    resumed: int  # files that an earlier run had finished


def opened(source: Folder) -> Opened:
    """Reads what there is to mend; changes nothing.

    Raises:
        ThorError: ``nothing_to_repair``, or as `audit.audit`.
    """
    found = inventory.read(source)
    modules = gather(found.tensors.values())
    groups = scales.groups(modules.values(), scales.read(source, found, modules, lambda *_: None))
    result = Opened(source, found, modules, groups)
    if not result.differ:
        raise ThorError(
            "nothing_to_repair",
            f"{source.name}: the global scales of all {len(groups)} fused groups agree.",
            "Use it as it is; `thorctl checkpoint audit` says what else may be off.",
        )
    return result


def repair(that: Opened, out: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> Repaired:
    """Writes the mended checkpoint to ``out``, which must not exist.

    Args:
        that: what `opened` found.
        out: its last part becomes the checkpoint's name.
        progress: what is done, bytes done, bytes in all.

    Raises:
        ThorError: ``out_exists``, ``disk_too_small``, ``repair_source_changed``, ``repair_unverified``.
    """
    if out.exists():
        raise ThorError("out_exists", f"{out} exists already.", "Name another folder, or remove that one.")
    work = out.parent / f".{out.name}.partial"
    journal = _begin(that, work)
    resumed, done = len(journal), 0
    for path, size in that.source.sizes.items():
        if path == NAME:
            continue  # of the original: the result gets its own
        if path not in journal:

            def told(what: str, bytes_done: int, path: str = path, at: int = done) -> None:
                progress(f"{what} {path}", at + bytes_done, that.bytes)

            journal[path] = _one(that, work, path, told)
            _note(that, work, journal)
        done += size
    before = _sum(journal, "before")
    after = _sum(journal, "after")
    _require_sound(work, that.source)
    worst = max(group.ratio for group in that.differ)
    manifest = Manifest(
        name=out.name,
        made_by="thorctl checkpoint repair",
        origin=Origin(
            name=that.source.name, files={path: row["source"] for path, row in sorted(journal.items())}
        ),
        figures={
            "groups": len(that.groups),
            "mended": len(that.differ),
            "worst_ratio": worst,
            "error_before": before.relative,
            "error_after": after.relative,
        },
        files=tuple(
            LockedFile(path=path, size=that.source.sizes[path], sha256=row["sha256"])
            for path, row in sorted(journal.items())
        ),
    )
    _write(work / NAME, manifest.text())
    (work / JOURNAL).unlink()
    work.rename(out)
    _sync(out.parent)
    return Repaired(manifest, len(that.groups), len(that.differ), worst, before, after, resumed)


def _one(that: Opened, work: Path, path: str, told: Callable[[str, int], None]) -> dict[str, Any]:
    """Writes and reads back one file; its row of the journal."""
    before, after = WeightError(), WeightError()
    patches: list[Patch] = []
    shard_of = that.inventory.shard_of
    for group in that.differ:
        shards = [
            shard_of[tensor.name]
            for member in group.members
            for tensor in that.modules[member].parts.values()
        ]
        if path not in shards:
            continue
        mended = mend(that.source, that.inventory, that.modules, group)
        patches += [patch for patch in mended.patches if patch.shard == path]
        if shards[0] == path:  # a group that lies in two files is counted in one
            before = before.plus(mended.before, mended.weights)
            after = after.plus(mended.after, mended.weights)
    source, target = that.source.folder / path, work / path
    copying.write(source, target, patches, lambda n: told("writing", n))
    hashes = copying.verify(source, target, patches, lambda n: told("reading back", n))
    return {"source": hashes[0], "sha256": hashes[1], "before": asdict(before), "after": asdict(after)}


def _begin(that: Opened, work: Path) -> dict[str, dict[str, Any]]:
    """The journal's rows of a run that was killed, or none and an empty folder with room enough."""
    try:
        document = json.loads((work / JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    if isinstance(document, dict) and {"source", "files"} <= set(document):
        if document["source"] != _fingerprint(that.source):
            raise ThorError(
                "repair_source_changed",
                f"{that.source.name} is not what the unfinished repair in {work} began with.",
                f"Remove {work} and repair again.",
            )
        rows: dict[str, dict[str, Any]] = document["files"]
        return rows
    if work.exists():
        shutil.rmtree(work)
    work.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(work.parent).free
    if free < that.bytes + SPARE:
        raise ThorError(
            "disk_too_small",
            f"{work.parent} has {free / 1e9:.1f} GB free; the result needs {that.bytes / 1e9:.1f} GB.",
            "Free space there, or name a folder on another disk with --out.",
        )
    work.mkdir()
    _note(that, work, {})
    return {}


def _note(that: Opened, work: Path, journal: dict[str, dict[str, Any]]) -> None:
    draft = work / f"{JOURNAL}.new"
    _write(draft, json.dumps({"source": _fingerprint(that.source), "files": journal}))
    draft.replace(work / JOURNAL)
    _sync(work)


def _fingerprint(source: Folder) -> dict[str, list[int]]:
    return {path: [size, (source.folder / path).stat().st_mtime_ns] for path, size in source.sizes.items()}


def _sum(journal: dict[str, dict[str, Any]], which: str) -> WeightError:
    rows = [WeightError(**row[which]) for row in journal.values()]
    return WeightError(
        sum(row.squared_error for row in rows),
        sum(row.squared_weights for row in rows),
        max(row.worst for row in rows),
    )


def _require_sound(work: Path, source: Folder) -> None:
    """The result must be off in nothing that the original was not, and its scales must agree."""
    found = audit(Folder(work))
    new = set(found.off) - set(audit(source).off)
    if new or any(kind.differ for kind in found.fused):
        raise ThorError(
            "repair_unverified",
            f"The repaired checkpoint does not pass its own audit: {'; '.join(sorted(found.off))}.",
            f"Keep {work} and report this; the original is as it was.",
        )


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
