"""The notation of a checkpoint's weights: its name, and whether the audit supports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.modules import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.checkpoint.modules import Module

MODELOPT = "hf_quant_config.json"  # written beside config.json by NVIDIA ModelOpt
COMPRESSED = "compressed-tensors"
_METHODS = {
    "awq": "INT4 weights (AWQ)",
    "gptq": "INT4 weights (GPTQ)",
    "fp8": "FP8 (block or tensor scales)",
    "mxfp4": "MXFP4",
    "bitsandbytes": "bitsandbytes",
}
_SHOWN = 60  # longest shown part of an unknown name, in characters


@dataclass(frozen=True, slots=True)
class Dialect:
    """``judged``: the audit supports its scales and names."""

    name: str
    judged: bool


def of(config: Mapping[str, Any], modelopt: Mapping[str, Any] | None, modules: Iterable[Module]) -> Dialect:
    """Return the notation.

    Args:
        config: config.json.
        modelopt: hf_quant_config.json, if there is one.
        modules: the checkpoint's.
    """
    found = config.get("quantization_config")
    formats = {module.format for module in modules} - PLAIN
    if isinstance(found, dict) and found.get("quant_method") == COMPRESSED:
        return _compressed(found)
    if modelopt is not None or (isinstance(found, dict) and found.get("quant_method") == "modelopt"):
        section = (modelopt or {}).get("quantization", found)
        algorithm = section.get("quant_algo") if isinstance(section, dict) else None
        return Dialect(f"{_word(algorithm or 'quantized')} in the notation of NVIDIA ModelOpt", judged=False)
    if isinstance(found, dict):
        method = found.get("quant_method")
        known = _METHODS.get(method) if isinstance(method, str) else None
        return Dialect(known or f"quantized by {_word(method)}", judged=False)
    if formats:
        return Dialect(f"{', '.join(sorted(formats))} without a quantization_config", judged=True)
    return Dialect("not quantized", judged=True)


def kind(group: Mapping[str, Any]) -> str:
    """Return the format of weights of a compressed-tensors config group, as in `Module.format`."""
    weights = group.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    match weights.get("type"), weights.get("num_bits"), weights.get("strategy"):
        case "float", 4, "tensor_group":
            return "NVFP4"
        case "float", 4, _:
            return "MXFP4"
        case "float", 8, _:
            return "FP8"
        case "int", int(bits), _:
            return f"INT{bits}"
    return "unknown weights"


def groups_of(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the config groups that are objects."""
    named = found.get("config_groups")
    named = named if isinstance(named, dict) else {}
    return {str(name): group for name, group in named.items() if isinstance(group, dict)}


def _compressed(found: Mapping[str, Any]) -> Dialect:
    groups = groups_of(found).values()
    names = sorted({f"{kind(group)} weights, {_activations(group)}" for group in groups})
    judged = not names or {kind(group) for group in groups} == {"NVFP4"}
    return Dialect(f"{'; '.join(names) or 'no config groups'} ({COMPRESSED})", judged)


def _activations(group: Mapping[str, Any]) -> str:
    inputs = group.get("input_activations")
    if not isinstance(inputs, dict):
        return "16-bit activations"
    return (
        f"{_word(inputs.get('num_bits'))}-bit activations (W4A{_word(inputs.get('num_bits'))})"
        if (kind(group) == "NVFP4")
        else f"{_word(inputs.get('num_bits'))}-bit activations"
    )


def _word(value: object) -> str:
    return str(value)[:_SHOWN]
