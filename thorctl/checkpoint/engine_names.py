"""Map a checkpoint's modules to vLLM's names, and determine which of them vLLM loads as quantized.

vLLM renames modules (``hf_to_vllm_mapper``), loads several as one (``packed_modules_mapping``), and compares
the lists ``ignore`` and ``targets`` of a quantization_config with its own names (compressed_tensors/utils.py,
``should_ignore_layer`` and ``find_matched_target``; ``get_moe_method`` decides for all experts of a layer by
expert 0). Exact names in the lists are renamed as modules are; expressions (``re:…``) are not, and must match
from the first letter on. The contract test compares this module with vLLM 0.19 and 0.32.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.checkpoint.modules import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSIONS = ("0.19", "0.32")
PREFIXES = (
    ("model.visual.", "visual."),
    ("lm_head.", "language_model.lm_head."),
    ("model.language_model.", "language_model.model."),
)
FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "qkv": ("qkv",),
    "in_proj_qkvz": ("in_proj_qkv", "in_proj_z"),
    "in_proj_ba": ("in_proj_b", "in_proj_a"),
}
_FUSED_AS = {member: name for name, members in FUSED.items() for member in members}
# vLLM's classes by the last part of a name; every other linear layer is a ColumnParallelLinear.
_CLASSES = {
    **dict.fromkeys(("qkv_proj", "qkv"), "QKVParallelLinear"),
    **dict.fromkeys(("gate_up_proj", "in_proj_qkvz", "in_proj_ba"), "MergedColumnParallelLinear"),
    **dict.fromkeys(("o_proj", "out_proj", "down_proj", "proj", "linear_fc2"), "RowParallelLinear"),
    "lm_head": "ParallelLMHead",
}
_EXPERTS = {"0.19": "SharedFusedMoE", "0.32": "RoutedExperts"}
_EXPERTS_AS_LINEAR = {
    "0.19": "FusedMoE",
    "0.32": "RoutedExperts",
}  # all of which the target "Linear" includes
_EXPERT = re.compile(r"^(.*\.mlp\.experts)\.(?:\d+\.(?:gate|up|down)_proj|gate_up_proj|down_proj)$")
# Never quantized: norms, convolutions, embeddings, routers (`quant_config=None`).
_NEVER = re.compile(
    r"(A_log|dt_bias|norm\w*|conv1d|embed\w*|pos_embed|patch_embed\.proj|\.mlp\.(gate|shared_expert_gate))$"
)
_LINEAR_KINDS = frozenset(
    {Kind.ROUTED, Kind.SHARED, Kind.ATTENTION, Kind.GDN, Kind.LM_HEAD, Kind.MTP, Kind.VISION}
)


class MixedSchemesError(Exception):
    """Parts that vLLM loads as one have different schemes, which it rejects."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that vLLM builds with a quantization, and its modules in the checkpoint."""

    name: str
    members: tuple[str, ...]

    @property
    def routed(self) -> bool:
        """Whether it stands for all experts of a layer."""
        return self.name.endswith(".experts")

    def asked(self) -> tuple[str, ...]:
        """Return the names that the lists are compared with."""
        projections = ("gate_proj", "up_proj", "down_proj")
        return tuple(f"{self.name}.0.{one}" for one in projections) if self.routed else (self.name,)

    def class_name(self, version: str) -> str:
        """Return vLLM's class of the layer in that version."""
        return (
            _EXPERTS[version]
            if self.routed
            else _CLASSES.get(self.name.rpartition(".")[2], "ColumnParallelLinear")
        )


def renamed(name: str) -> str:
    """Return vLLM's name for a checkpoint's name."""
    for prefix, new in PREFIXES:
        if name.startswith(prefix):
            name = name.replace(prefix, new, 1)
    return name


def layers(modules: Iterable[str]) -> list[Layer]:
    """Return the layers that vLLM builds from modules, without those it never quantizes."""
    found: dict[str, list[str]] = {}
    for module in modules:
        if kind_of(module) not in _LINEAR_KINDS or _NEVER.search(module):
            continue
        if match := _EXPERT.match(module):
            name = renamed(f"{match[1]}.").removesuffix(".")
        else:
            stem, _, last = renamed(f"{module}.weight").removesuffix(".weight").rpartition(".")
            name = f"{stem}.{_FUSED_AS.get(last, last)}"
        found.setdefault(name, []).append(module)
    return [Layer(name, tuple(members)) for name, members in sorted(found.items())]


def group_of(layer: Layer, ignore: Sequence[str], targets: Mapping[str, str], version: str) -> str | None:
    """Return the config group by which vLLM loads a layer; None: unquantized.

    Args:
        layer: one of `layers`.
        ignore: as in the quantization_config.
        targets: each group's targets, to the group's name, in their order.
        version: one of `VERSIONS`.

    Raises:
        MixedSchemesError: vLLM rejects the layer; the text has the reason.
        re.error: an expression is invalid.
    """
    if version == "0.19" and layer.class_name(version) == "ParallelLMHead":
        return None  # without looking at the lists
    mapped = {_entry(target): group for target, group in targets.items()}
    if layer.routed and "Linear" in mapped:
        mapped.setdefault(_EXPERTS_AS_LINEAR[version], mapped["Linear"])
    entries = [_entry(one) for one in ignore]
    found = [_one(name, layer.class_name(version), entries, mapped, version) for name in layer.asked()]
    if len(set(found)) > 1:
        raise MixedSchemesError("gate_proj, up_proj and down_proj of expert 0 have different schemes")
    return found[0]


def _one(
    name: str, class_name: str, ignore: list[str], targets: Mapping[str, str], version: str
) -> str | None:
    if _ignored(name, ignore, version) or not targets:
        return None
    by_class = _first(class_name, targets, contains=True)
    by_parts = _by_parts(name, targets)
    others = (by_class, by_parts) if version == "0.19" else (by_parts, by_class)
    matched = _first(name, targets) or others[0] or others[1]
    if matched is None and version == "0.19":
        raise MixedSchemesError("no target of quantization_config matches it")
    return targets[matched] if matched is not None else None


def _ignored(name: str, ignore: list[str], version: str) -> bool:
    last = name.rpartition(".")[2]
    whole = _first(name, ignore) is not None
    # 0.32 accepts any match of the fused name; 0.19 only that name itself, otherwise it checks the parts.
    if last not in FUSED or (whole if version != "0.19" else name in ignore):
        return whole
    parts = [_first(name.replace(last, part), ignore) is not None for part in FUSED[last]]
    if any(parts) and not all(parts):
        raise MixedSchemesError(f"only some of {', '.join(FUSED[last])} are ignored")
    return all(parts)


def _by_parts(name: str, targets: Iterable[str]) -> str | None:
    last = next((one for one in FUSED if name.endswith(one)), None)
    if last is None:
        return None
    found = [_first(name.replace(last, part), targets) for part in FUSED[last]]
    return found[0] if all(found) else None


def _first(value: str, targets: Iterable[str], *, contains: bool = False) -> str | None:
    return next((target for target in targets if _matches(value, target, contains=contains)), None)


def _matches(value: str, target: str, *, contains: bool) -> bool:
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), value) is not None
    return target.lower() in value.lower() if contains else target == value


def _entry(entry: str) -> str:
    """Return an entry after vLLM's mapper: paths are renamed, expressions and classes are not."""
    return renamed(entry) if "." in entry and not entry.startswith("re:") else entry
