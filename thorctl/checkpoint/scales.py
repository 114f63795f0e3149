"""Global scales that an engine takes for one: which modules it fuses, and whether their scales agree.

vLLM loads gate_proj and up_proj of an expert as one matrix with one global scale, likewise those of the
shared expert and q, k, v of an attention layer. Where the checkpoint stores different ones it warns once,
or says nothing, and applies one of them to all: wrong weights without an error
(`compressed_tensors_moe.py`: ``weight_global_scale[:, 0]``; `compressed_tensors_w4a16_nvfp4.py`: the
maximum; vLLM issue #54974).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.checkpoint.modules import GLOBAL, Kind, kind_of
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thorctl.checkpoint.headers import Tensor
    from thorctl.checkpoint.inventory import Inventory
    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.source import Source

# In the order in which vLLM stacks them: of an expert's pair it takes the first one's scale.
_FUSED = ((r"^(.*\.mlp\.(?:experts\.\d+|shared_expert))\.(gate|up)_proj$", ("gate_proj", "up_proj")),
          (r"^(.*\.self_attn)\.(q|k|v)_proj$", ("q_proj", "k_proj", "v_proj")))  # fmt: skip
_COMPILED = [(re.compile(pattern), members) for pattern, members in _FUSED]
GAP = 1 << 16  # bytes; two scales nearer than this come with one request
NUMBER = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Group:
    """Modules that the engine loads as one matrix with one global scale."""

    name: str
    members: tuple[str, ...]  # module names, in the engine's order
    scales: tuple[float, ...]  # as stored: 448 · 6 / amax, the inverse of what a weight is multiplied with

    @property
    def differ(self) -> bool:
        """Whether an engine that takes one scale for all gets wrong weights."""
        return len(set(self.scales)) > 1

    @property
    def ratio(self) -> float:
        """The largest scale over the smallest."""
        return max(self.scales) / min(self.scales)

    @property
    def routed(self) -> bool:
        """Whether it is a routed expert's pair: there vLLM takes the first scale, elsewhere the largest."""
        return ".mlp.experts." in self.name

    @property
    def used(self) -> float:
        """The scale that vLLM 0.19 to 0.32 applies to all members."""
        return self.scales[0] if self.routed else max(self.scales)


def read(
    source: Source, inventory: Inventory, modules: Mapping[str, Module], progress: Callable[[int, int], None]
) -> dict[str, float]:
    """The global scale of every quantized module, by module name; neighbours come with one read.

    Raises:
        ThorError: ``checkpoint_damaged`` for a scale that is no positive number.
    """
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
            if not 0 < value < float("inf"):
                raise ThorError(
                    "checkpoint_damaged",
                    f"{shard}: {tensor.name} is {value}.",
                    "Download or quantize it again.",
                )
            values[name] = value
    progress(len(spans), len(spans))
    return values


def fused(module: str) -> tuple[str, tuple[str, ...]] | None:
    """The group that a module is of, and all its members; None if it is loaded by itself."""
    if kind_of(module) not in {Kind.ROUTED, Kind.SHARED, Kind.ATTENTION}:
        return None
    for pattern, members in _COMPILED:
        if match := pattern.match(module):
            return match[1], tuple(f"{match[1]}.{member}" for member in members)
    return None


def groups(modules: Iterable[Module], scales: Mapping[str, float]) -> list[Group]:
    """All fused groups whose members all have a scale, sorted by name."""
    found = dict(filter(None, (fused(module.name) for module in modules)))
    return [
        Group(name, members, tuple(scales[member] for member in members))
        for name, members in sorted(found.items())
        if all(member in scales for member in members)
    ]


def _spans(found: list[tuple[Tensor, str]]) -> list[list[tuple[Tensor, str]]]:
    spans: list[list[tuple[Tensor, str]]] = []
    for tensor, name in sorted(found, key=lambda pair: pair[0].start):
        if spans and tensor.start - spans[-1][-1][0].end <= GAP:
            spans[-1].append((tensor, name))
        else:
            spans.append([(tensor, name)])
    return spans
