"""Compare a checkpoint's tensors with its own config.json."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint import dialect, engine_names
from thorctl.checkpoint.headers import damaged
from thorctl.checkpoint.modules import GLOBAL, INPUT, NVFP4, PACKED, PARTS, PLAIN, QUANTIZED, SCALE, Kind
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.checkpoint.modules import Module

ARCHITECTURE = "Qwen3_5MoeForConditionalGeneration"
GROUP = 16  # weights per FP8 scale
WEIGHTS = {  # expected in quantization_config's `weights`
    "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": GROUP,
    "symmetric": True, "dynamic": False,
}  # fmt: skip
SOMETIMES = {Kind.VISION: "without language-model-only", Kind.MTP: "with the switch `mtp`"}
_NEITHER = ("module is neither quantized nor ignored", "modules are neither quantized nor ignored")
_BOTH = ("module is quantized and in the ignore list", "modules are quantized and in the ignore list")
SHOWN = 3  # examples in one line
_EXPERT = re.compile(r"\.layers\.(\d+)\.mlp\.experts\.(\d+)\.(gate|up|down)_proj$")


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the language model's part of config.json.

    Raises:
        ThorError: ``architecture_unknown``: the parts of other models are unknown.
    """
    text, named = config.get("text_config"), config.get("architectures")
    if not isinstance(named, list) or ARCHITECTURE not in named:
        raise ThorError(
            "architecture_unknown",
            f"config.json names the architectures {named}, not {ARCHITECTURE}.",
            "Audit a checkpoint of the Qwen3.5 / 3.6 mixture-of-experts family.",
        )
    if not isinstance(text, dict) or not all(
        type(text.get(key)) is int and text[key] > 0 for key in ("num_hidden_layers", "num_experts")
    ):
        raise damaged("config.json", "has no text_config with num_hidden_layers and num_experts")
    return text


def experts(modules: Mapping[str, Module], text: dict[str, Any]) -> list[str]:
    """Return missing and surplus experts; the layout that vLLM requires."""
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
    off = [f"{name}: a fused tensor beside single experts" for name in fused[:SHOWN]]
    every = {(layer, expert) for layer in range(layers) for expert in range(count)}
    lacking = sorted(place for place in every if found[place] != 3)
    if lacking:
        off.append(some(_places(lacking), "expert is incomplete", "experts are incomplete"))
    if surplus := sorted(set(found) - every):
        off.append(some(_places(surplus), "expert is not in config.json", "experts are not in config.json"))
    return off


def formats(modules: Iterable[Module], quantized: bool) -> list[str]:
    """Return modules whose format differs from the card's table."""
    off: dict[str, tuple[str, list[str]]] = {}  # kind -> the format wanted, modules in another one
    for module in modules:
        wanted = NVFP4 if quantized and module.kind in QUANTIZED else "BF16"
        if (
            module.kind is not Kind.OTHER
            and module.format != wanted
            and not (module.kind is Kind.GDN and module.format in {"F32", "BF16/F32"})
        ):
            # A_log and the norm of a Gated DeltaNet layer may have the higher precision FP32.
            off.setdefault(f"of the {module.kind}", (wanted, []))[1].append(f"{module.name} {module.format}")
    return [
        some(names, f"module {whose} is not {wanted}", f"modules {whose} are not {wanted}")
        for whose, (wanted, names) in off.items()
    ]


def unknown(modules: Iterable[Module]) -> list[str]:
    """Return modules that belong to no part of the model."""
    names = [module.name for module in modules if module.kind is Kind.OTHER]
    row = "to no row of the card's table"
    return [some(names, f"module belongs {row}", f"modules belong {row}")] if names else []


def shapes(modules: Iterable[Module], config: Mapping[str, Any]) -> list[str]:
    """Return quantized modules whose tensors do not match each other."""
    found = config.get("quantization_config")
    groups = dialect.groups_of(found).values() if isinstance(found, dict) else ()
    inputs = any(isinstance(group.get("input_activations"), dict) for group in groups)
    wanted = PARTS | {INPUT} if inputs else PARTS
    names = []
    for module in modules:
        if module.format != NVFP4:
            continue
        if set(module.parts) - {"bias"} != wanted:
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
    if not names:
        return []
    misfit = "tensors that do not fit"
    return [some(names, f"quantized module has {misfit}", f"quantized modules have {misfit}")]


def quantization(config: dict[str, Any], modules: Mapping[str, Module]) -> list[str]:
    """Compare quantization_config with the tensors in both directions, as vLLM does."""
    found = config.get("quantization_config")
    if not isinstance(found, dict | None):
        raise damaged("config.json", "has a quantization_config that is no object")
    packed = [module for module in modules.values() if module.format == NVFP4]
    if found is None or not packed:
        return _one_sided(found is None, bool(packed))
    off = []
    if (found.get("quant_method"), found.get("format")) != (dialect.COMPRESSED, "nvfp4-pack-quantized"):
        off.append(f"quant_method and format are {found.get('quant_method')} and {found.get('format')}")
    groups, ignore = dialect.groups_of(found), found.get("ignore") or []
    if not isinstance(ignore, list) or not all(isinstance(entry, str) for entry in ignore):
        return [*off, "quantization_config has an ignore list that is no list of names"]
    if not groups:
        return [*off, "quantization_config has 0 groups, where one was expected"]
    targets: dict[str, str] = {}
    for name, group in groups.items():
        weights = group.get("weights")
        weights = weights if isinstance(weights, dict) else {}
        off += [
            f"quantization_config has {key}: {weights.get(key)!r}, not {value!r}"
            for key, value in WEIGHTS.items()
            if weights.get(key) != value
        ]
        if group.get("output_activations") is not None:
            off.append("quantization_config quantizes output_activations too, which NVFP4 does not")
        those = group.get("targets")
        if not isinstance(those, list) or not all(isinstance(one, str) for one in those):
            return [*off, f"quantization_config has targets that are no list of names in {name}"]
        targets |= dict.fromkeys(those, name)
    built = {name: module for name, module in modules.items() if module.kind not in SOMETIMES}
    try:
        return off + _matched(ignore, targets, built)
    except re.error as error:
        return [*off, f"quantization_config ignores or targets an invalid expression: {error}"]


def _one_sided(no_config: bool, packed: bool) -> list[str]:
    if no_config:
        return ["there are quantized modules, but config.json has no quantization_config"] if packed else []
    return ["config.json has a quantization_config, but no module is quantized"]


def sometimes(config: dict[str, Any], modules: Mapping[str, Module]) -> list[str]:
    """Compare `quantization` for parts that vLLM builds on request only; [] if that finds more."""
    found = config.get("quantization_config")
    if not isinstance(found, dict) or quantization(config, modules):
        return []
    targets = {
        target: name for name, group in dialect.groups_of(found).items() for target in group["targets"]
    }
    lines = []
    for kind, when in SOMETIMES.items():
        those = {name: module for name, module in modules.items() if module.kind is kind}
        lines += [
            f"{line} (matters {when} only)" for line in _matched(found.get("ignore") or [], targets, those)
        ]
    return lines


def _matched(ignore: list[str], targets: dict[str, str], modules: Mapping[str, Module]) -> list[str]:
    """Return modules that vLLM, by its own names, would reject or misread with these lists."""
    versions_of: dict[tuple[tuple[str, str], str], list[str]] = {}  # (texts of a fault, module) -> versions
    layers = engine_names.layers(modules)
    for version in engine_names.VERSIONS:
        for layer in layers:
            try:
                group = engine_names.group_of(layer, ignore, targets, version)
            except engine_names.MixedSchemesError as error:
                alike = f"parts that vLLM must load alike ({error})"
                what = (f"layer has {alike}", f"layers have {alike}")
                names: tuple[str, ...] = (layer.name,)
            else:
                what, names = _NEITHER if group else _BOTH, layer.members
                names = tuple(one for one in names if (modules[one].format in PLAIN) == bool(group))
            for name in names:
                versions_of.setdefault((what, name), []).append(version)
    for name, module in modules.items():
        if module.kind is Kind.ROUTER and module.format not in PLAIN:
            always = "quantized, but vLLM never loads a router quantized"
            what = (f"module is {always}", f"modules are {always}")
            versions_of[what, name] = list(engine_names.VERSIONS)
    lines: dict[tuple[tuple[str, str], tuple[str, ...]], list[str]] = {}
    for (what, name), versions in versions_of.items():
        lines.setdefault((what, tuple(versions)), []).append(name)
    return [
        some(names, *what) + ("" if versions == engine_names.VERSIONS else f" (vLLM {', '.join(versions)})")
        for (what, versions), names in lines.items()
    ]


def _places(found: list[tuple[int, int]]) -> list[str]:
    return [f"layer {layer} expert {expert}" for layer, expert in found]


def some(names: list[str], one: str, several: str) -> str:
    """Return one line for all ``names``: their count, ``one`` or ``several``, and the first few."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{counted(len(names), one, several)}: {', '.join(names[:SHOWN])}{more}"
