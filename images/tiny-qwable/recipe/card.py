"""Which weights the model card says are quantized, and the quantizer's settings that do just that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEME = "NVFP4A16"
IGNORE = [
    "re:.*linear_attn.*", "re:.*mlp.gate$", "re:.*shared_expert_gate$", "re:.*embed_tokens$",
    "re:.*lm_head", "re:.*visual.*", "re:.*mtp.*", "re:.*norm.*",
]  # fmt: skip
QUANTIZED = re.compile(
    r"\.mlp\.experts\.(\d+\.(gate|up|down)_proj|gate_up_proj|down_proj)$"
    r"|\.mlp\.shared_expert\.(gate|up|down)_proj$"
    r"|\.self_attn\.[qkvo]_proj$"
)
PARTS = {"weight_packed", "weight_scale", "weight_global_scale"}


def differences(names: Iterable[str]) -> list[str]:
    """Compare a quantized checkpoint's tensor names with the card; empty means: just the card's split."""
    parts: dict[str, set[str]] = {}
    for name in names:
        module, _, part = name.rpartition(".")
        parts.setdefault(module, set()).add(part)
    wrong = []
    for module, found in sorted(parts.items()):
        quantized, expected = found == PARTS, bool(QUANTIZED.search(module))
        if quantized != expected or (found & PARTS and not quantized):
            wrong.append(
                f"{module}: {'is' if found & PARTS else 'is not'} quantized ({', '.join(sorted(found))})"
            )
    return wrong
