"""Audit a checkpoint: its content as the model card's table, and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint import dialect, expected, inventory, scales
from thorctl.checkpoint.modules import PLAIN, Kind, gather
from thorctl.protocol.plural import form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thorctl.checkpoint.inventory import Inventory
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
    """The agreement of the global scales of one kind of fused modules."""

    kind: str
    groups: int
    differ: int
    worst_ratio: float  # largest scale over smallest, of non-zero matrices
    worst: str | None  # the group's name


class Verdict(StrEnum):
    """The recommended action for a checkpoint."""

    SERVE = "serve"
    REPAIR_LATER = "serve_repair_when_convenient"
    REPAIR_FIRST = "repair_first"
    REJECT = "do_not_serve"
    NOT_JUDGED = "not_judged"


class Grade(IntEnum):
    """The severity of a finding."""

    NOTE = 0  # differs from the card; vLLM reads it correctly
    REPAIR_LATER = 1
    REPAIR_FIRST = 2
    REJECT = 3


_VERDICTS = dict(zip(Grade, list(Verdict)[:4], strict=True))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    grade: Grade
    line: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit."""

    name: str
    dialect: str  # the notation of the weights, as text
    quantized: bool
    layers: int
    experts: int  # per layer
    rows: tuple[Row, ...]
    fused: tuple[FusedScales, ...]
    disk_bytes: int  # of the shards
    bf16_bytes: int  # the same weights at two bytes each
    mtp: bool
    verdict: Verdict
    advice: str  # the verdict as text, with its reasons
    findings: tuple[Finding, ...]  # the most severe first

    @property
    def off(self) -> tuple[str, ...]:
        """The findings that must be fixed before serving."""
        return tuple(found.line for found in self.findings if found.grade >= Grade.REPAIR_FIRST)


QUANTIZE_AGAIN = "Quantize it again: `thorctl checkpoint quantize`, or correct config.json."
NAMES = (
    "Correct `ignore` and `targets` in config.json's quantization_config: an expression must match vLLM's "
    "own names from the first letter (`re:.*linear_attn.*`, not `re:^model\\.…`)."
)
FILES = "Download it again, or compare its files with the hub's; an interrupted quantization looks the same."
TALK = "Copy tokenizer.json, tokenizer_config.json and chat_template.jinja from the source model."
REPAIR = "Repair it: `thorctl checkpoint repair DIR --out DIR`."
NOTHING = "Nothing needs to be done."


def audit(
    source: Source,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Read config, tokenizer, headers and global scales; weights only of matrices without a usable scale.

    Raises:
        ThorError: ``checkpoint_incomplete``, ``checkpoint_damaged``, ``architecture_unknown``,
            or what reading raises.
    """
    found = inventory.read(source, lambda shard: progress(f"header of {shard}"))
    text = expected.text_config(found.config)
    modules = gather(found.tensors.values())
    modelopt = inventory.document(source, dialect.MODELOPT) if dialect.MODELOPT in source.sizes else None
    written = dialect.of(found.config, modelopt, modules.values())
    quantized = found.config.get("quantization_config") is not None or any(
        module.format not in PLAIN for module in modules.values()
    )
    values = scales.read(
        source, found, modules, lambda done, total: progress(f"global scales, read {done} of {total}")
    )
    groups = scales.looked_at(
        source, found, modules, scales.groups(modules.values(), values), limit=scales.SERVES_TO
    )
    fused = summary(groups)
    findings = _findings(source, found, modules, text, quantized=quantized, judged=written.judged)
    findings += [*no_numbers(groups), *differing(fused)]
    findings.sort(key=lambda one: -one.grade)
    verdict, advice = judge(findings, fused, written)
    weights = sum(module.weights for module in modules.values())
    return Audit(
        name=source.name,
        dialect=written.name,
        quantized=quantized,
        layers=int(text["num_hidden_layers"]),
        experts=int(text["num_experts"]),
        rows=tuple(rows(modules.values())),
        fused=tuple(fused),
        disk_bytes=sum(source.sizes[shard] for shard in set(found.shard_of.values())),
        bf16_bytes=weights * BF16_BYTES,
        mtp=any(module.kind is Kind.MTP for module in modules.values()),
        verdict=verdict,
        advice=advice,
        findings=tuple(findings),
    )


def _findings(
    source: Source,
    found: Inventory,
    modules: Mapping[str, Module],
    text: dict[str, Any],
    *,
    quantized: bool,
    judged: bool,
) -> list[Finding]:
    reject, note = Grade.REJECT, Grade.NOTE
    lines = [(reject, FILES, line) for line in found.problems]
    lines += [(reject, TALK, line) for line in speaking(source)]
    lines += [(note, NOTHING, line) for line in template(source)]
    if judged:
        lines += [(reject, FILES, line) for line in expected.experts(modules, text)]
        lines += [(reject, QUANTIZE_AGAIN, line) for line in expected.unknown(modules.values())]
        lines += [(reject, QUANTIZE_AGAIN, line) for line in expected.shapes(modules.values(), found.config)]
        lines += [(reject, NAMES, line) for line in expected.quantization(found.config, modules)]
        lines += [(note, NAMES, line) for line in expected.sometimes(found.config, modules)]
        lines += [(note, NOTHING, line) for line in expected.formats(modules.values(), quantized)]
    return [Finding(grade, line, remedy) for grade, remedy, line in lines]


def judge(
    findings: Iterable[Finding], fused: Iterable[FusedScales], written: dialect.Dialect
) -> tuple[Verdict, str]:
    """Return the verdict and its reasons."""
    grade = max((one.grade for one in findings), default=Grade.NOTE)
    if grade is not Grade.REJECT and not written.judged:
        return Verdict.NOT_JUDGED, (
            f"not judged: the audit supports NVFP4 of compressed-tensors, not {written.name}. "
            "Whether vLLM reads it correctly is unknown"
        )
    worst = max((kind.worst_ratio for kind in fused), default=1.0)
    serve, first = "serve it, repair when convenient", "repair first"
    if worst > (1 if grade is Grade.REPAIR_LATER else scales.SERVES_TO):
        apart = f"scales differ by up to {worst:.3g} ×"
        serve += (
            f": {apart}. Measured at up to 1.34 ×: every test answer stayed right, 0.007 nats per token from "
            "the correct weights (0.0005 after the repair)"
        )
        first += (
            f": {apart}. Measured at 3 to 5 ×: 0 of 12 test answers were right, 12 of 12 after the repair"
        )
    else:  # zero matrices only, which were not measured
        serve += ": only zero matrices have a scale of their own, and vLLM reads them as zero"
        first += ": zero matrices have a scale that vLLM would apply to others, or that is not a number"
    return _VERDICTS[grade], {
        Grade.NOTE: "serve it: vLLM reads it correctly",
        Grade.REPAIR_LATER: serve,
        Grade.REPAIR_FIRST: first,
        Grade.REJECT: "do not serve it: vLLM rejects it, or reads wrong weights",
    }[grade]


def rows(modules: Iterable[Module]) -> list[Row]:
    """Return the table, in the order of the card."""
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
    """Return groups by kind: experts' gate and up, the shared expert's, an attention layer's q, k, v."""
    kinds: dict[str, list[scales.Group]] = {}
    for group in groups:
        if len(group.members) == 1:
            continue
        name = (
            "q/k/v of an attention layer"
            if group.name.endswith("self_attn")
            else "parts of a Gated DeltaNet layer"
            if ".linear_attn" in group.name
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
                sum(group.ratio > 1 for group in members),
                worst.ratio,
                worst.name if worst.ratio > 1 else None,
            )
        )
    return found


def no_numbers(groups: Iterable[scales.Group]) -> list[Finding]:
    """Return findings of invalid scales, and of zero matrices with another scale than the partner."""
    odd: list[str] = []
    zeros: dict[Grade, list[str]] = {}
    for group in groups:
        for member, scale in zip(group.members, group.scales, strict=True):
            if member in group.zero:
                if group.differ:
                    grade = Grade.REPAIR_LATER if group.harmless else Grade.REPAIR_FIRST
                    zeros.setdefault(grade, []).append(f"{member} ({scale:g})")
            elif not scales.usable(scale):
                odd.append(f"{member} ({scale:g})")
    found = []
    if odd:
        lacks = "a global scale that is not a positive number"
        line = expected.some(odd, f"matrix has {lacks}", f"matrices have {lacks}")
        remedy = "Download or quantize it again: their weights are not zero, or they are too many to read."
        found.append(Finding(Grade.REJECT, line, remedy))
    return found + [
        Finding(
            grade,
            expected.some(
                names,
                "zero matrix has another scale than its partner",
                "zero matrices have another scale than their partners",
            )
            + ": a zero matrix can have its partner's scale without loss",
            REPAIR,
        )
        for grade, names in zeros.items()
    ]


def differing(fused: Iterable[FusedScales]) -> list[Finding]:
    """Return a finding for each kind with different scales."""
    return [
        Finding(
            Grade.REPAIR_FIRST if kind.worst_ratio > scales.SERVES_TO else Grade.REPAIR_LATER,
            f"{kind.differ} of {kind.groups} {kind.kind} {form(kind.differ, 'has', 'have')} global scales "
            f"that differ, up to {kind.worst_ratio:.4g} × ({kind.worst}): vLLM applies one to all",
            REPAIR,
        )
        for kind in fused
        if kind.differ
    ]


def template(source: Source) -> list[str]:
    """Return a finding if there is no chat template; a profile may have its own."""
    name = "tokenizer_config.json"
    settings = inventory.document(source, name) if name in source.sizes else {}
    if "chat_template.jinja" in source.sizes or settings.get("chat_template"):
        return []
    return [f"there is no chat template (chat_template.jinja, or in {name}): the profile must have one"]


def speaking(source: Source) -> list[str]:
    """Return the tokens missing in the tokenizer that separate thinking from the answer."""
    off = []
    vocabulary = inventory.document(source, "tokenizer.json") if "tokenizer.json" in source.sizes else None
    if vocabulary is None:
        off.append("there is no tokenizer.json")
    else:
        tokens = _tokens(vocabulary)
        off += [f"{word} is not a token of tokenizer.json" for word in THINK if word not in tokens]
    return off


def _tokens(vocabulary: Mapping[str, Any]) -> set[str]:
    added = vocabulary.get("added_tokens") or []
    model = vocabulary.get("model") or {}
    words = model.get("vocab") if isinstance(model, dict) else None
    return {str(entry.get("content")) for entry in added if isinstance(entry, dict)} | set(
        words if isinstance(words, dict) else ()
    )
