"""What a checkpoint must hold, by its own config.json; every line that is off. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.headers import damaged
from thorctl.checkpoint.modules import GLOBAL, NVFP4, PACKED, PARTS, QUANTIZED, SCALE, Kind
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.checkpoint.modules import Module

ARCHITECTURE = "Qwen3_5MoeForConditionalGeneration"
GROUP = 16  # weights that share one FP8 scale
WEIGHTS = {  # of quantization_config's `weights`
    "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": GROUP,
    "symmetric": True, "dynamic": False,
}  # fmt: skip
SHOWN = 3  # examples in one line
_EXPERT = re.compile(r"\.layers\.(\d+)\.mlp\.experts\.(\d+)\.(gate|up|down)_proj$")


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's part of config.json.

    Raises:
        ThorError: ``architecture_unknown``: nothing is known of other models' parts.
    """
    text, named = config.get("text_config"), config.get("architectures")
    if not isinstance(named, list) or ARCHITECTURE not in named:
        raise ThorError(
            "architecture_unknown",
            f"config.json says architectures: {named}, not {ARCHITECTURE}.",
            "Audit a checkpoint of the Qwen3.5 / 3.6 mixture-of-experts family.",
        )
    if not isinstance(text, dict) or not all(
        type(text.get(key)) is int and text[key] > 0 for key in ("num_hidden_layers", "num_experts")
    ):
        raise damaged("config.json", "has no text_config with num_hidden_layers and num_experts")
    return text


def experts(modules: Mapping[str, Module], text: dict[str, Any]) -> list[str]:
    """Missing and surplus experts; the layout that vLLM needs."""
    layers, count = text["num_hidden_layers"], text["num_experts"]
    found = Counter()  # type: Counter[tuple[int, int]]
    fused = []
    for name, module in modules.items():
        if module.kind is not Kind.ROUTED:
            continue
        if match := _EXPERT.search(name):
            found[int(match[1]), int(match[2])] += 1
        else:
            fused.append(name)
    if fused and not found:
        wanted = layers * 2  # gate_up_proj and down_proj
        return (
            []
            if len(fused) == wanted
            else [f"{len(fused)} fused expert tensors, where {wanted} were expected"]
        )
    off = [f"{name}: a fused tensor beside experts of their own" for name in fused[:SHOWN]]
    every = {(layer, expert) for layer in range(layers) for expert in range(count)}
    lacking = sorted(place for place in every if found[place] != 3)
    if lacking:
        off.append(
            _some(len(lacking), "experts are not whole", [f"layer {a} expert {b}" for a, b in lacking])
        )
    if surplus := sorted(set(found) - every):
        off.append(
            _some(
                len(surplus), "experts are not in config.json", [f"layer {a} expert {b}" for a, b in surplus]
            )
        )
    return off


def formats(modules: Iterable[Module], quantized: bool) -> list[str]:
    """Modules that are not in the format that the card's table gives them."""
    off: dict[str, list[str]] = {}
    for module in modules:
        wanted = NVFP4 if quantized and module.kind in QUANTIZED else "BF16"
        if module.kind is Kind.OTHER:
            off.setdefault("modules belong to no row of the card's table", []).append(module.name)
        elif module.format != wanted and not (
            module.kind is Kind.GDN and module.format in {"F32", "BF16/F32"}
        ):
            # A_log and the norm of a Gated DeltaNet layer may be kept in FP32: more than asked for.
            off.setdefault(f"modules of the {module.kind} are not {wanted}", []).append(
                f"{module.name} {module.format}"
            )
    return [_some(len(names), what, names) for what, names in off.items()]


def shapes(modules: Iterable[Module]) -> list[str]:
    """Quantized modules whose three tensors do not fit each other."""
    names = []
    for module in modules:
        if module.format != NVFP4:
            continue
        if set(module.parts) != PARTS:
            names.append(f"{module.name}: has {', '.join(sorted(module.parts))}")
            continue
        packed, scale, whole = (module.parts[part] for part in (PACKED, SCALE, GLOBAL))
        dtypes = (packed.dtype, scale.dtype, whole.dtype)
        if dtypes != ("U8", "F8_E4M3", "F32"):
            names.append(f"{module.name}: {' '.join(dtypes)}")
        elif (
            len(packed.shape) != 2
            or scale.shape != (packed.shape[0], packed.shape[1] * 2 // GROUP)
            or whole.bytes != 4
        ):
            names.append(f"{module.name}: {list(packed.shape)} {list(scale.shape)} {list(whole.shape)}")
    return [_some(len(names), "quantized modules have tensors that do not fit", names)] if names else []


def quantization(config: dict[str, Any], modules: Mapping[str, Module]) -> list[str]:
    """quantization_config against the tensors, both ways."""
    found = config.get("quantization_config")
    if not isinstance(found, dict | None):
        raise damaged("config.json", "has a quantization_config that is no object")
    packed = [module for module in modules.values() if module.format == NVFP4]
    if found is None:
        return ["there are quantized modules, but config.json has no quantization_config"] if packed else []
    if not packed:
        return ["config.json has a quantization_config, but no module is quantized"]
    off = []
    if (found.get("quant_method"), found.get("format")) != ("compressed-tensors", "nvfp4-pack-quantized"):
        off.append(f"quant_method and format are {found.get('quant_method')} and {found.get('format')}")
    named, ignore = found.get("config_groups"), found.get("ignore") or []
    groups = [one for one in named.values() if isinstance(one, dict)] if isinstance(named, dict) else []
    if not isinstance(ignore, list) or not all(isinstance(entry, str) for entry in ignore):
        return [*off, "quantization_config has an ignore list that is no list of names"]
    if len(groups) != 1:
        return [*off, f"quantization_config has {len(groups)} groups, where one was expected"]
    weights = groups[0].get("weights")
    weights = weights if isinstance(weights, dict) else {}
    off += [
        f"quantization_config says {key}: {weights.get(key)!r}, not {value!r}"
        for key, value in WEIGHTS.items()
        if weights.get(key) != value
    ]
    off += [
        f"quantization_config quantizes {key} too, which NVFP4A16 does not"
        for key in ("input_activations", "output_activations")
        if groups[0].get(key) is not None
    ]
    if groups[0].get("targets") != ["Linear"]:
        off.append(f"quantization_config targets {groups[0].get('targets')}, not ['Linear']")
    try:
        return off + _ignored(ignore, modules)
    except re.error as error:
        return [*off, f"quantization_config ignores by an expression that is none: {error}"]


def _ignored(ignore: list[str], modules: Mapping[str, Module]) -> list[str]:
    """vLLM takes a Linear for quantized unless it is ignored: a wrong list fails the load or misreads."""
    patterns = [re.compile(entry.removeprefix("re:")) for entry in ignore if entry.startswith("re:")]
    exact = {entry for entry in ignore if not entry.startswith("re:")}

    def is_ignored(name: str) -> bool:
        return name in exact or any(pattern.match(name) for pattern in patterns)

    both = [name for name, module in modules.items() if module.format == NVFP4 and is_ignored(name)]
    # Convolutions, norms and embeddings are no Linear; routers are never built as quantized.
    neither = [
        name
        for name, module in modules.items()
        if module.format != NVFP4
        and module.kind in {Kind.GDN, Kind.LM_HEAD, Kind.MTP, Kind.VISION, Kind.SHARED, Kind.ATTENTION}
        and len(module.parts.get("weight", _NOTHING).shape) == 2
        and not re.search(r"(norm|conv1d|embed)\w*$", name)
        and not is_ignored(name)
    ]
    off = [_some(len(both), "modules are quantized and in the ignore list", both)] if both else []
    return off + (
        [_some(len(neither), "modules are neither quantized nor ignored", neither)] if neither else []
    )


class _Nothing:
    shape: tuple[int, ...] = ()


_NOTHING = _Nothing()


def _some(count: int, what: str, examples: list[str]) -> str:
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    return f"{count} {what}: {', '.join(examples[:SHOWN])}{more}"
