"""What a checkpoint must hold, by its own config.json; every line that is off. Pure."""

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
GROUP = 16  # weights that share one FP8 scale
WEIGHTS = {  # of quantization_config's `weights`
    "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": GROUP,
    "symmetric": True, "dynamic": False,
}  # fmt: skip
SOMETIMES = {Kind.VISION: "without language-model-only", Kind.MTP: "with the switch `mtp`"}
_NEITHER = ("module is neither quantized nor ignored", "modules are neither quantized nor ignored")
_BOTH = ("module is quantized and in the ignore list", "modules are quantized and in the ignore list")
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
            f"config.json names the architectures {named}, not {ARCHITECTURE}.",
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
        off.append(some(_places(lacking), "expert is not whole", "experts are not whole"))
    if surplus := sorted(set(found) - every):
        off.append(some(_places(surplus), "expert is not in config.json", "experts are not in config.json"))
    return off


def formats(modules: Iterable[Module], quantized: bool) -> list[str]:
    """Modules that are not in the format that the card's table gives them."""
    off: dict[str, tuple[str, list[str]]] = {}  # kind -> the format wanted, modules in another one
    for module in modules:
        wanted = NVFP4 if quantized and module.kind in QUANTIZED else "BF16"
        if (
            module.kind is not Kind.OTHER
            and module.format != wanted
            and not (module.kind is Kind.GDN and module.format in {"F32", "BF16/F32"})
        ):
            # A_log and the norm of a Gated DeltaNet layer may be kept in FP32: more than asked for.
            off.setdefault(f"of the {module.kind}", (wanted, []))[1].append(f"{module.name} {module.format}")
    return [
        some(names, f"module {whose} is not {wanted}", f"modules {whose} are not {wanted}")
        for whose, (wanted, names) in off.items()
    ]


def unknown(modules: Iterable[Module]) -> list[str]:
    """Modules that no part of the model is loaded from."""
    names = [module.name for module in modules if module.kind is Kind.OTHER]
    row = "to no row of the card's table"
    return [some(names, f"module belongs {row}", f"modules belong {row}")] if names else []


def shapes(modules: Iterable[Module], config: Mapping[str, Any]) -> list[str]:
    """Quantized modules whose tensors do not fit each other."""
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
    """quantization_config against the tensors, both ways, as vLLM reads it."""
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
            f"quantization_config says {key}: {weights.get(key)!r}, not {value!r}"
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
        return [*off, f"quantization_config ignores or targets by an expression that is none: {error}"]


def _one_sided(no_config: bool, packed: bool) -> list[str]:
    if no_config:
        return ["there are quantized modules, but config.json has no quantization_config"] if packed else []
    return ["config.json has a quantization_config, but no module is quantized"]


def sometimes(config: dict[str, Any], modules: Mapping[str, Module]) -> list[str]:
    """What `quantization` is for parts that vLLM only builds if it is asked to; [] where that finds more."""
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
    """vLLM loads by its own names: a list that misses them fails the load or misreads."""
    versions_of: dict[tuple[tuple[str, str], str], list[str]] = {}  # of what is said of which module
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
