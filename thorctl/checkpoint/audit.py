"""The audit: what a checkpoint holds, as the model card's table, and what is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint import expected, inventory, scales
from thorctl.checkpoint.modules import NVFP4, Kind, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thorctl.checkpoint.modules import Module
    from thorctl.checkpoint.source import Source

THINK = ("<think>", "</think>")
BF16_BYTES = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the modules of one kind in one format."""

    kind: Kind
    format: str
    modules: int
    bytes: int
    weights: int


@dataclass(frozen=True, slots=True)
class FusedScales:
    """How well the global scales of one kind of fused modules agree."""

    kind: str
    groups: int
    differ: int
    worst_ratio: float  # largest scale over smallest, over all groups
    worst: str | None  # the group's name


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was found; ``off`` is empty if it is what the card says and loads as it was meant."""

    name: str
    quantized: bool
    layers: int
    experts: int  # a layer
    rows: tuple[Row, ...]
    fused: tuple[FusedScales, ...]
    disk_bytes: int  # the shards'
    bf16_bytes: int  # the same weights at two bytes each
    mtp: bool
    off: tuple[str, ...]


def audit(
    source: Source,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Reads config, tokenizer, headers and global scales; no weight.

    Raises:
        ThorError: ``checkpoint_incomplete``, ``checkpoint_damaged``, ``architecture_unknown``,
            or what reading raises.
    """
    found = inventory.read(source, lambda shard: progress(f"header of {shard}"))
    text = expected.text_config(found.config)
    modules = gather(found.tensors.values())
    quantized = found.config.get("quantization_config") is not None or any(
        module.format == NVFP4 for module in modules.values()
    )
    values = scales.read(
        source, found, modules, lambda done, total: progress(f"global scales, read {done} of {total}")
    )
    fused = summary(scales.groups(modules.values(), values))
    off = [
        *found.problems,
        *expected.experts(modules, text),
        *expected.formats(modules.values(), quantized),
        *expected.shapes(modules.values()),
        *expected.quantization(found.config, modules),
        *differing(fused),
        *speaking(source),
    ]
    weights = sum(module.weights for module in modules.values())
    return Audit(
        name=source.name,
        quantized=quantized,
        layers=int(text["num_hidden_layers"]),
        experts=int(text["num_experts"]),
        rows=tuple(rows(modules.values())),
        fused=tuple(fused),
        disk_bytes=sum(source.sizes[shard] for shard in set(found.shard_of.values())),
        bf16_bytes=weights * BF16_BYTES,
        mtp=any(module.kind is Kind.MTP for module in modules.values()),
        off=tuple(off),
    )


def rows(modules: Iterable[Module]) -> list[Row]:
    """The table, in the order of the card."""
    sums: dict[tuple[Kind, str], list[int]] = {}
    for module in modules:
        row = sums.setdefault((module.kind, module.format), [0, 0, 0])
        row[0] += 1
        row[1] += module.bytes
        row[2] += module.weights
    order = list(Kind)
    return [
        Row(kind, form, *row)
        for (kind, form), row in sorted(sums.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]


def summary(groups: Iterable[scales.Group]) -> list[FusedScales]:
    """Groups by kind: experts' gate and up, the shared expert's, an attention layer's q, k, v."""
    kinds: dict[str, list[scales.Group]] = {}
    for group in groups:
        name = (
            "q/k/v of an attention layer"
            if group.name.endswith("self_attn")
            else ("gate/up of a routed expert" if group.routed else "gate/up of a shared expert")
        )
        kinds.setdefault(name, []).append(group)
    found = []
    for kind, members in kinds.items():
        worst = max(members, key=lambda group: group.ratio)
        found.append(
            FusedScales(
                kind,
                len(members),
                sum(group.differ for group in members),
                worst.ratio,
                worst.name if worst.differ else None,
            )
        )
    return found


def differing(fused: Iterable[FusedScales]) -> list[str]:
    """A line for each kind whose scales differ."""
    return [
        f"{kind.differ} of {kind.groups} {kind.kind} have global scales that differ, "
        f"up to {kind.worst_ratio:.4g} × "
        f"({kind.worst}): vLLM applies one to all; mend with `thorctl checkpoint repair`"
        for kind in fused
        if kind.differ
    ]


def speaking(source: Source) -> list[str]:
    """Whether tokenizer and chat template have what the engine needs to tell thinking from answer."""
    off = []
    vocabulary = inventory.document(source, "tokenizer.json") if "tokenizer.json" in source.sizes else None
    if vocabulary is None:
        off.append("there is no tokenizer.json")
    else:
        tokens = _tokens(vocabulary)
        off += [f"{word} is not a token of tokenizer.json" for word in THINK if word not in tokens]
    settings = (
        inventory.document(source, "tokenizer_config.json") if "tokenizer_config.json" in source.sizes else {}
    )
    if "chat_template.jinja" not in source.sizes and not settings.get("chat_template"):
        off.append("there is no chat template (chat_template.jinja, or in tokenizer_config.json)")
    return off


def _tokens(vocabulary: Mapping[str, Any]) -> set[str]:
    added = vocabulary.get("added_tokens") or []
    model = vocabulary.get("model") or {}
    words = model.get("vocab") if isinstance(model, dict) else None
    return {str(entry.get("content")) for entry in added if isinstance(entry, dict)} | set(
        words if isinstance(words, dict) else ()
    )
