"""Group tensors into modules, by the rows of the model card's table, and determine their format.

Names: Qwen3_5MoeForConditionalGeneration as transformers writes it; parts of a quantized module:
compressed-tensors' `nvfp4-pack-quantized` (``weight_packed``, ``weight_scale``, ``weight_global_scale``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thorctl.protocol.safetensors import Tensor

PACKED, SCALE, GLOBAL = "weight_packed", "weight_scale", "weight_global_scale"
INPUT = "input_global_scale"  # present if activations are quantized as well
PARTS = frozenset({PACKED, SCALE, GLOBAL})
NVFP4 = "NVFP4"
PLAIN = frozenset({"BF16", "F16", "F32", "BF16/F32", "F16/F32"})  # formats that are not quantized
# Last parts of tensor names, in all known notations; the module's name precedes them.
_PARTS = PARTS | {
    "weight", "bias", INPUT, "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale",
    "weight_scale_2", "weight_scale_inv", "pre_quant_scale", "qweight", "qzeros", "scales",
    "g_idx", "k_scale", "v_scale",
}  # fmt: skip


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

# The first match decides: a norm of the vision tower belongs to the tower.
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


@dataclass(frozen=True)
class Module:
    """One layer's weights: its tensors by part (``weight``, ``bias``, ``weight_packed``, …)."""

    name: str
    kind: Kind
    parts: dict[str, Tensor]

    @cached_property
    def format(self) -> str:
        """NVFP4, another notation's name, or the dtypes of its tensors."""
        dtypes = {part: tensor.dtype for part, tensor in self.parts.items()}
        if "weight_scale_2" in dtypes and dtypes.get("weight") == "U8":
            return "NVFP4 (ModelOpt)"
        if str(dtypes.get("weight", "")).startswith("F8_"):
            return "FP8"
        if "qweight" in dtypes or dtypes.get(PACKED) == "I32":
            return "INT4"
        if PACKED in dtypes and GLOBAL not in dtypes and dtypes.get(SCALE) in {"U8", "F8_E8M0"}:
            return "MXFP4"
        if set(dtypes) & PARTS:
            return NVFP4
        return "/".join(sorted(set(dtypes.values())))

    @property
    def bytes(self) -> int:
        """The size on disk."""
        return sum(tensor.bytes for tensor in self.parts.values())

    @property
    def weights(self) -> int:
        """The number of weights, two per byte if packed, without scales."""
        total = 0
        for part, tensor in self.parts.items():
            if part not in {"", "weight", "bias", PACKED, "qweight"}:
                continue
            count = math.prod(tensor.shape)
            packed = part == PACKED or self.format == "NVFP4 (ModelOpt)"
            total += count * (8 if tensor.dtype == "I32" else 2 if packed else 1)
        return total


@cache
def kind_of(module: str) -> Kind:
    """Return the card's row for a module's name."""
    return next((kind for kind, pattern in _COMPILED if pattern.search(module)), Kind.OTHER)


def gather(tensors: Iterable[Tensor]) -> dict[str, Module]:
    """Return modules by name. A fused tensor without a part (``experts.gate_up_proj``) is one module."""
    found: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        module, _, part = tensor.name.rpartition(".")
        if part in _PARTS:
            found.setdefault(module, {})[part] = tensor
        else:
            found[tensor.name] = {"": tensor}
    return {name: Module(name, kind_of(name), parts) for name, parts in found.items()}
