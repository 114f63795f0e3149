"""Determine the model card's split: what becomes NVFP4, from a BF16 checkpoint's headers.

Experts in one tensor (``experts.gate_up_proj``, ``experts.down_proj``) become one matrix each, under the
names of a quantized checkpoint; so do those of the MTP head, which stay BF16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.checkpoint import expected, inventory, scales
from thorctl.checkpoint.audit import audit
from thorctl.checkpoint.modules import GLOBAL, PACKED, QUANTIZED, SCALE, Kind, gather, kind_of
from thorctl.checkpoint.nvfp4 import GROUP
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.source import Source
    from thorctl.protocol.safetensors import Tensor

SCHEME = "NVFP4A16"  # llm-compressor's name
IGNORE = (  # for quantization_config: Linear modules that stay BF16 (and norms, as the card's tool writes)
    "re:.*linear_attn.*", "re:.*mlp.gate$", "re:.*shared_expert_gate$", "re:.*embed_tokens$",
    "re:.*lm_head", "re:.*visual.*", "re:.*mtp.*", "re:.*norm.*",
)  # fmt: skip
PARTS_OF = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}  # of expert tensors
BF16_BYTES = 2
Rows = dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A BF16 tensor of the result, or a matrix to quantize: contiguous bytes of one shard of the source."""

    name: str  # without `.weight` if it is to be quantized
    shard: str
    start: int
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    @property
    def quantized(self) -> Rows:
        """The three tensors it becomes."""
        rows, columns = self.shape
        return {
            f"{self.name}.{PACKED}": ("U8", (rows, columns // 2)),
            f"{self.name}.{SCALE}": ("F8_E4M3", (rows, columns // GROUP)),
            f"{self.name}.{GLOBAL}": ("F32", (1,)),
        }


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of the result. A group in two files is in both, and partly written in each."""

    path: str
    kept: tuple[Matrix, ...]
    groups: tuple[tuple[Matrix, ...], ...]

    @property
    def rows(self) -> Rows:
        """All its tensors."""
        found: Rows = {matrix.name: (matrix.dtype, matrix.shape) for matrix in self.kept}
        for group in self.groups:
            for matrix in group:
                if matrix.shard == self.path:
                    found |= matrix.quantized
        return found


@dataclass(frozen=True, slots=True)
class Split:
    """The split of a BF16 checkpoint."""

    source: Source
    inventory: Inventory
    shards: tuple[Shard, ...]
    off: tuple[str, ...]  # the audit's findings of the source that do not prevent quantization

    @property
    def matrices(self) -> list[Matrix]:
        """The matrices to quantize."""
        return [
            matrix
            for shard in self.shards
            for group in shard.groups
            for matrix in group
            if matrix.shard == shard.path
        ]

    @property
    def kept(self) -> list[Matrix]:
        """The tensors that stay unchanged."""
        return [matrix for shard in self.shards for matrix in shard.kept]


def split(source: Source) -> Split:
    """Return the split, from headers only.

    Raises:
        ThorError: ``source_quantized``, ``source_off``, or as `audit.audit`.
    """
    found = inventory.read(source)
    if found.config.get("quantization_config") is not None:
        raise ThorError(
            "source_quantized",
            f"{source.name} is quantized already (config.json has a quantization_config).",
            "Name its BF16 source.",
        )
    modules = gather(found.tensors.values())
    text = expected.text_config(found.config)
    wrong = [
        *found.problems,
        *expected.experts(modules, text),
        *expected.unknown(modules.values()),
        *expected.formats(modules.values(), quantized=False),
    ]
    matrices: dict[str, Matrix] = {}
    kept: dict[str, list[Matrix]] = {}
    for tensor in found.tensors.values():
        for matrix in _matrices(tensor, found.shard_of[tensor.name]):
            module = matrix.name.removesuffix(".weight")
            if kind_of(module) not in QUANTIZED:
                kept.setdefault(matrix.shard, []).append(matrix)
            elif len(matrix.shape) != 2 or matrix.shape[1] % GROUP or module == matrix.name:
                wrong.append(f"{matrix.name} {list(matrix.shape)} is not a matrix of blocks of {GROUP}")
            else:
                matrices[module] = Matrix(
                    module, matrix.shard, matrix.start, matrix.shape, matrix.dtype, matrix.bytes
                )
    groups, lacking = _groups(matrices)
    wrong += [f"there is no {name}.weight" for name in lacking]
    if wrong:
        raise ThorError(
            "source_off",
            f"{source.name} cannot be quantized: {'; '.join(wrong)}.",
            "Compare its files with the hub's; `thorctl checkpoint audit` lists its tensors.",
        )
    shards = tuple(
        Shard(
            shard,
            tuple(kept.get(shard, ())),
            tuple(group for group in groups if any(matrix.shard == shard for matrix in group)),
        )
        for shard in sorted(set(found.shard_of.values()))
    )
    return Split(source, found, shards, audit(source).off)


def _matrices(tensor: Tensor, shard: str) -> Iterator[Matrix]:
    """Yield a tensor, or its experts one by one."""
    stem, _, last = tensor.name.removesuffix(".weight").rpartition(".")
    parts = PARTS_OF.get(last)
    if parts is None or len(tensor.shape) != 3 or tensor.shape[1] % len(parts):
        yield Matrix(tensor.name, shard, tensor.start, tensor.shape, tensor.dtype, tensor.bytes)
        return
    experts, height, width = tensor.shape
    shape = (height // len(parts), width)
    size = tensor.bytes // experts // len(parts)
    at = tensor.start
    for expert in range(experts):
        for part in parts:
            yield Matrix(f"{stem}.{expert}.{part}.weight", shard, at, shape, tensor.dtype, size)
            at += size


def _groups(matrices: dict[str, Matrix]) -> tuple[list[tuple[Matrix, ...]], list[str]]:
    """Return the groups that share a global scale, in the order of the source; and missing members."""
    found: dict[str, tuple[str, ...]] = {}
    for name in matrices:
        group = scales.fused(name)
        key, members = group or (name, (name,))
        found.setdefault(key, members)
    lacking = [member for members in found.values() for member in members if member not in matrices]
    whole = [
        tuple(matrices[member] for member in members)
        for members in found.values()
        if all(member in matrices for member in members)
    ]
    return sorted(whole, key=lambda group: (group[0].shard, group[0].start)), lacking


def by_kind(matrices: Iterable[Matrix]) -> dict[Kind, list[Matrix]]:
    """Return matrices by the card's row."""
    found: dict[Kind, list[Matrix]] = {}
    for matrix in matrices:
        found.setdefault(kind_of(matrix.name.removesuffix(".weight")), []).append(matrix)
    return {kind: found[kind] for kind in Kind if kind in found}
