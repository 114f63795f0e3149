"""What each tensor belongs to, in the words of the model card's table, and its format. Pure.

Names: Qwen3_5MoeForConditionalGeneration as transformers writes it; parts of a quantized module:
compressed-tensors' `nvfp4-pack-quantized` (``weight_packed``, ``weight_scale``, ``weight_global_scale``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thorctl.checkpoint.headers import Tensor

PACKED, SCALE, GLOBAL = "weight_packed", "weight_scale", "weight_global_scale"
PARTS = frozenset({PACKED, SCALE, GLOBAL})
NVFP4 = "NVFP4"


class Kind(StrEnum):
    """The rows of the card's table."""

    ROUTED = "routed experts"
    SHARED = "shared experts"
    ATTENTION = "full-attention projections"
    GDN = "Gated DeltaNet layers"
    ROUTER = "routers, shared-expert gates"
    EMBEDDINGS = "embeddings"
    LM_HEAD = "lm_head"
    MTP = "MTP head"
    NORM = "norms"
    VISION = "vision tower"
    OTHER = "other"


QUANTIZED = frozenset({Kind.ROUTED, Kind.SHARED, Kind.ATTENTION})

# The first that fits decides: a norm of the vision tower belongs to the tower.
_KINDS = (
    (Kind.VISION, r"(^|\.)visual\."),
    (Kind.MTP, r"(^|\.)mtp\."),
    (Kind.GDN, r"\.linear_attn(\.|$)"),
    (Kind.ROUTED, r"\.mlp\.experts\."),
    (Kind.SHARED, r"\.mlp\.shared_expert\."),
    (Kind.ROUTER, r"\.mlp\.(gate|shared_expert_gate)$"),
    (Kind.ATTENTION, r"\.self_attn\.[qkvo]_proj$"),
    (Kind.NORM, r"(^|[._])norm$|layernorm$"),
    (Kind.EMBEDDINGS, r"(^|\.)embed_tokens$"),
    (Kind.LM_HEAD, r"(^|\.)lm_head$"),
)
_COMPILED = [(kind, re.compile(pattern)) for kind, pattern in _KINDS]


@dataclass(frozen=True, slots=True)
class Module:
    """One layer's weights: its tensors by part (``weight``, ``bias``, ``weight_packed``, …)."""

    name: str
    kind: Kind
    parts: dict[str, Tensor]

    @property
    def format(self) -> str:
        """NVFP4, or the dtypes of its tensors."""
        if set(self.parts) & PARTS:
            return NVFP4
        return "/".join(sorted({tensor.dtype for tensor in self.parts.values()}))

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(tensor.bytes for tensor in self.parts.values())

    @property
    def weights(self) -> int:
        """Numbers of weights, two to a byte where packed; scales are not counted."""
        total = 0
        for part, tensor in self.parts.items():
            if part in {SCALE, GLOBAL}:
                continue
            count = 1
            for length in tensor.shape:
                count *= length
            total += count * (2 if part == PACKED else 1)
        return total


def kind_of(module: str) -> Kind:
    """The card's row for a module's name."""
    return next((kind for kind, pattern in _COMPILED if pattern.search(module)), Kind.OTHER)


def gather(tensors: Iterable[Tensor]) -> dict[str, Module]:
    """Modules by name. A fused tensor without a part (``experts.gate_up_proj``) is a module of its own."""
    found: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        module, _, part = tensor.name.rpartition(".")
        if part in PARTS or part in {"weight", "bias"}:
            found.setdefault(module, {})[part] = tensor
        else:
            found[tensor.name] = {"": tensor}
    return {name: Module(name, kind_of(name), parts) for name, parts in found.items()}
