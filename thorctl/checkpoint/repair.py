"""Rewrite a checkpoint so that fused matrices share their global scale. The original is only read.

Each file is copied to a hidden folder beside the result (`partial`), patched, synced, read back and recorded.
Patches depend on the original alone, so a repeated file is the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint import copying, inventory, scales
from thorctl.checkpoint.manifest import NAME, Manifest, Origin
from thorctl.checkpoint.modules import gather
from thorctl.checkpoint.partial import Partial
from thorctl.checkpoint.patch import repair_group
from thorctl.checkpoint.reconcile import WeightError, total
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted
from thorctl.release.lock import LockedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.patch import Patch
    from thorctl.checkpoint.scales import Group
    from thorctl.checkpoint.source import Folder

MADE_BY = "thorctl checkpoint repair"


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint with its headers and scales."""

    source: Folder
    inventory: Inventory
    modules: dict[str, Module]
    groups: list[Group]

    @property
    def differ(self) -> list[Group]:
        """The groups to repair."""
        return [group for group in self.groups if group.differ]

    @property
    def bytes(self) -> int:
        """The bytes to be written."""
        return sum(self.source.sizes.values())


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair. Errors are relative to the repaired groups' weights, as vLLM reads them."""

    manifest: Manifest
    groups: int
    repaired: int
    worst_ratio: float
    before: WeightError
    after: WeightError
    resumed: int  # files complete from an earlier run


def opened(source: Folder) -> Opened:
    """Read what is to be repaired, without a change.

    Raises:
        ThorError: ``nothing_to_repair``, or as `audit.audit`.
    """
    found = inventory.read(source)
    modules = gather(found.tensors.values())
    values = scales.read(source, found, modules, lambda *_: None)
    groups = scales.looked_at(
        source, found, modules, scales.groups(modules.values(), values), limit=scales.SERVES_TO
    )
    result = Opened(source, found, modules, groups)
    if not result.differ:
        raise ThorError(
            "nothing_to_repair",
            f"{source.name}: the global scales of {counted(len(groups), 'fused group')} agree.",
            "Use it as it is; `thorctl checkpoint audit` lists other findings.",
        )
    return result


def repair(that: Opened, out: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> Repaired:
    """Write the repaired checkpoint to ``out``, which must not exist.

    Args:
        that: the result of `opened`.
        out: its last part becomes the checkpoint's name.
        progress: called with the step, bytes done, bytes in total.

    Raises:
        ThorError: as `Partial`; ``result_unverified``.
    """
    with Partial(that.source, out, that.bytes, {"made_by": MADE_BY}) as partial:
        done = 0
        for path, size in that.source.sizes.items():
            if path == NAME:
                continue  # the original's: the result has its own
            if path not in partial.rows:

                def told(what: str, bytes_done: int, path: str = path, at: int = done) -> None:
                    progress(f"{what} {path}", at + bytes_done, that.bytes)

                partial.note(path, _one(that, partial.folder, path, told))
            done += size
        result = _result(that, out.name, partial)
        partial.finish(result.manifest)
    return result


def _result(that: Opened, name: str, partial: Partial) -> Repaired:
    rows = sorted(partial.rows.items())
    before = total(WeightError(**row["before"]) for row in partial.rows.values())
    after = total(WeightError(**row["after"]) for row in partial.rows.values())
    worst = max(group.ratio for group in that.differ)
    manifest = Manifest(
        name=name,
        made_by=MADE_BY,
        origin=Origin(name=that.source.name, files={path: row["source"] for path, row in rows}),
        figures={
            "groups": len(that.groups),
            "mended": len(that.differ),
            "worst_ratio": worst,
            "error_before": before.relative,
            "error_after": after.relative,
        },
        files=tuple(
            LockedFile(path=path, size=that.source.sizes[path], sha256=row["sha256"]) for path, row in rows
        ),
    )
    return Repaired(manifest, len(that.groups), len(that.differ), worst, before, after, partial.resumed)


def _one(that: Opened, work: Path, path: str, told: Callable[[str, int], None]) -> dict[str, Any]:
    """Write and read back one file; return its row of the journal."""
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
        fixed = repair_group(that.source, that.inventory, that.modules, group)
        patches += [patch for patch in fixed.patches if patch.shard == path]
        if shards[0] == path:  # a group in two files is counted in one
            before = before.plus(fixed.before, fixed.weights)
            after = after.plus(fixed.after, fixed.weights)
    source, target = that.source.folder / path, work / path
    copying.write(source, target, patches, lambda n: told("writing", n))
    hashes = copying.verify(source, target, patches, lambda n: told("reading back", n))
    return {"source": hashes[0], "sha256": hashes[1], "before": asdict(before), "after": asdict(after)}
