"""Read the global scales of modules that an engine fuses, and compare them.

vLLM loads gate_proj and up_proj of an expert as one matrix with one global scale, likewise those of the
shared expert and q, k, v of an attention layer. If the checkpoint stores different ones, it warns once or
not at all, and applies one of them to all: wrong weights without an error
(`compressed_tensors_moe.py`: ``weight_global_scale[:, 0]``; `compressed_tensors_w4a16_nvfp4.py`: the
maximum; vLLM issue #54974). Quantized parts of a Gated DeltaNet layer are loaded in the same way.

A quantizer writes infinity for a matrix of zeros (448 · 6 / 0): an expert that was never selected in
training.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thorctl.checkpoint.modules import GLOBAL, PACKED, SCALE, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.source import Source
    from thorctl.protocol.safetensors import Tensor

# In vLLM's stacking order: for an expert's pair it applies the first one's scale.
_FUSED = ((r"^(.*\.mlp\.(?:experts\.\d+|shared_expert))\.(gate|up)_proj$", "", ("gate_proj", "up_proj")),
          (r"^(.*\.self_attn)\.(q|k|v)_proj$", "", ("q_proj", "k_proj", "v_proj")),
          (r"^(.*\.linear_attn)\.in_proj_(qkv|z)$", ".in_proj_qkvz", ("in_proj_qkv", "in_proj_z")),
          (r"^(.*\.linear_attn)\.in_proj_(b|a)$", ".in_proj_ba", ("in_proj_b", "in_proj_a")))  # fmt: skip
_COMPILED = [(re.compile(pattern), suffix, members) for pattern, suffix, members in _FUSED]
# The largest ratio of scales for which a real engine's measured answers stayed right (1.343 ×: 12 of 12,
# 0.0067 nats per token); the next measured ones, 3 to 5 ×, gave 0 of 12 (tests/system/cuda/results.md).
SERVES_TO = 1.35
MOST_LOOKED_AT = 64  # matrices whose weights are read to determine whether they are zero
_ZERO, _NAN = b"\x00\x80", b"\x7f\xff"  # one FP8 number, with either sign
_ZEROS = b"\x00\x08\x80\x88"  # two FP4 numbers
GAP = 1 << 16  # bytes; scales nearer to each other are read in one request
NUMBER = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Group:
    """Modules that the engine loads as one matrix with one global scale, or one with an invalid scale."""

    name: str
    members: tuple[str, ...]  # module names, in the engine's order
    scales: tuple[float, ...]  # as stored: 448 · 6 / amax, the inverse of a weight's factor
    zero: frozenset[str] = frozenset()  # members known to be all zeros
    nan: frozenset[str] = frozenset()  # of these, members with NaN block scales

    @property
    def differ(self) -> bool:
        """Whether an engine that applies one scale to all gets wrong weights, or a scale is invalid."""
        return len(set(self.scales)) > 1 or not all(map(usable, self.scales))

    @property
    def living(self) -> tuple[float, ...]:
        """The valid scales of members that are not known to be zero."""
        pairs = zip(self.members, self.scales, strict=True)
        return tuple(scale for member, scale in pairs if member not in self.zero and usable(scale))

    @property
    def ratio(self) -> float:
        """The largest over the smallest scale of `living`; 1 for fewer than two."""
        return max(self.living) / min(self.living) if self.living else 1.0

    @property
    def routed(self) -> bool:
        """Whether it is a routed expert's pair: vLLM applies its first scale, otherwise the largest."""
        return ".mlp.experts." in self.name

    @property
    def harmless(self) -> bool:
        """Whether the engine's answers are right, because all affected members are zero."""
        pairs = list(zip(self.members, self.scales, strict=True))
        if self.nan or any(
            not usable(scale) and (member not in self.zero or scale != float("inf"))
            for member, scale in pairs
        ):
            return False
        if len(pairs) == 1 or (self.zero and ".mlp." in self.name):
            return True  # read as zero; and a product with a zero factor
        return self.ratio == 1 and self.used == max(self.living, default=self.used)

    @property
    def used(self) -> float:
        """The scale that vLLM 0.19 to 0.32 applies to all members."""
        return self.scales[0] if self.routed else max(self.scales)


def usable(scale: float) -> bool:
    """Return whether a global scale is a positive number."""
    return 0 < scale < float("inf")


def read(
    source: Source, inventory: Inventory, modules: Mapping[str, Module], progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Return the stored global scale of every quantized module by name; neighbours share one read."""
    wanted: dict[str, list[tuple[Tensor, str]]] = {}
    for module in modules.values():
        tensor = module.parts.get(GLOBAL)
        if tensor is not None and tensor.dtype == "F32" and tensor.bytes == NUMBER.size:
            wanted.setdefault(inventory.shard_of[tensor.name], []).append((tensor, module.name))
    spans = [(shard, span) for shard, found in sorted(wanted.items()) for span in _spans(found)]
    values = {}
    for done, (shard, span) in enumerate(spans):
        progress(done, len(spans))
        start, end = span[0][0].start, span[-1][0].end
        content = source.read(shard, start, end - start)
        for tensor, name in span:
            (value,) = NUMBER.unpack_from(content, tensor.start - start)
            values[name] = value
    progress(len(spans), len(spans))
    return values


def fused(module: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the group of a module, and all its members; None if it is loaded alone."""
    if kind_of(module) not in {Kind.ROUTED, Kind.SHARED, Kind.ATTENTION, Kind.GDN, Kind.MTP}:
        return None
    for pattern, suffix, members in _COMPILED:
        if match := pattern.match(module):
            return f"{match[1]}{suffix}", tuple(f"{match[1]}.{member}" for member in members)
    return None


def groups(modules: Iterable[Module], scales: Mapping[str, float]) -> list[Group]:
    """Return fused groups whose members all have a scale, and single modules with an invalid one, by name."""
    names = [module.name for module in modules]
    found = dict(filter(None, map(fused, names)))
    whole = {name: members for name, members in found.items() if all(member in scales for member in members)}
    grouped = {member for members in whole.values() for member in members}
    lone = {name: (name,) for name in names if name not in grouped and not usable(scales.get(name, 1.0))}
    return [
        Group(name, members, tuple(scales[member] for member in members))
        for name, members in sorted({**whole, **lone}.items())
    ]


def looked_at(
    source: Source, inventory: Inventory, modules: Mapping[str, Module], groups: Iterable[Group], limit: float
) -> list[Group]:
    """Return the groups, with ``zero`` set if a scale is invalid or scales differ by more than ``limit``.

    Reads the weights of at most `MOST_LOOKED_AT` matrices, those without a usable scale first.
    """
    found = list(groups)
    doubtful = [group for group in found if group.ratio > limit or not all(map(usable, group.scales))]
    doubtful.sort(key=lambda group: all(map(usable, group.scales)))
    known: dict[str, Group] = {}
    left = MOST_LOOKED_AT
    for group in doubtful:
        left -= len(group.members)
        if left < 0:
            break
        looks = {member: _zero(source, inventory, modules[member]) for member in group.members}
        known[group.name] = replace(
            group,
            zero=frozenset(member for member, (zero, _) in looks.items() if zero),
            nan=frozenset(member for member, (zero, nan) in looks.items() if zero and nan),
        )
    return [known.get(group.name, group) for group in found]


def _zero(source: Source, inventory: Inventory, module: Module) -> tuple[bool, bool]:
    """Return whether every weight is zero (all FP4 values, or all block scales), and any block scale NaN."""
    content = {
        part: source.read(inventory.shard_of[tensor.name], tensor.start, tensor.bytes)
        for part in (PACKED, SCALE)
        if (tensor := module.parts.get(part)) is not None
    }
    blocks = content.get(SCALE, _ZERO)
    zero = not content.get(PACKED, _NAN).translate(None, _ZEROS) or not blocks.translate(None, _ZERO)
    return zero, any(value in blocks for value in _NAN)


def _spans(found: list[tuple[Tensor, str]]) -> list[list[tuple[Tensor, str]]]:
    spans: list[list[tuple[Tensor, str]]] = []
    for tensor, name in sorted(found, key=lambda pair: pair[0].start):
        if spans and tensor.start - spans[-1][-1][0].end <= GAP:
            spans[-1].append((tensor, name))
        else:
            spans.append([(tensor, name)])
    return spans
