"""The bytes that a repair changes: new block scales and one global scale for a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.checkpoint import nvfp4
from thorctl.checkpoint.headers import damaged
from thorctl.checkpoint.modules import GLOBAL, PACKED, SCALE
from thorctl.checkpoint.reconcile import Matrix, Reconciled, reconcile
from thorctl.checkpoint.scales import NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.scales import Group
    from thorctl.checkpoint.source import Source
    from thorctl.protocol.safetensors import Tensor


@dataclass(frozen=True, slots=True)
class Patch:
    """New bytes at one place of one shard; the length is unchanged."""

    shard: str
    start: int
    content: bytes

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.start + len(self.content)


@dataclass(frozen=True, slots=True)
class GroupRepair:
    """One group's patches, and the error of its weights as the engine reads them (sums of squares)."""

    patches: tuple[Patch, ...]
    before: float
    after: float
    weights: float


def repair_group(
    source: Source, inventory: Inventory, modules: Mapping[str, Module], group: Group
) -> GroupRepair:
    """Read the group's matrices and reconcile them. Deterministic.

    Raises:
        ThorError: ``checkpoint_damaged`` for block scales that are not numbers; as ``source.read``.
    """
    parts = [modules[member].parts for member in group.members]

    def content(tensor: Tensor) -> bytes:
        return source.read(inventory.shard_of[tensor.name], tensor.start, tensor.bytes)

    matrices = [
        Matrix(nvfp4.scales(content(part[SCALE])), nvfp4.block_squares(content(part[PACKED])), scale)
        for part, scale in zip(parts, group.scales, strict=True)
    ]
    try:
        found = reconcile(matrices)
    except ValueError as error:
        raise damaged(group.name, f"has {error}") from error
    patches = []
    for part, made, old in zip(parts, found.block_scales, group.scales, strict=True):
        if old == found.global_scale:
            continue  # a zero matrix with the group's scale keeps its block scales
        patches.append(Patch(inventory.shard_of[part[SCALE].name], part[SCALE].start, made.tobytes()))
        whole = part[GLOBAL]
        patches.append(Patch(inventory.shard_of[whole.name], whole.start, NUMBER.pack(found.global_scale)))
    return GroupRepair(tuple(patches), *_errors(matrices, group, found))


def _errors(matrices: list[Matrix], group: Group, found: Reconciled) -> tuple[float, float, float]:
    before = sum(matrix.error(matrix.block_scales, group.used) for matrix in matrices)
    return before, found.error, sum(matrix.square for matrix in matrices)
