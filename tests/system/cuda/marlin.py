"""Serves checkpoints one after another in a real CUDA vLLM and says what its kernels make of them."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.cuda.divergence import Distribution, Divergence, divergence
from tests.system.cuda.served import NotServingError, Served, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

MARLIN = re.compile(r"Using '?MARLIN'? NvFp4 MoE backend")
TEXT_ONLY = "running in text-only mode"
SCALES_DIFFER = "w1_weight_global_scale must match w3_weight_global_scale"
MENDED = ("repaired", "quantized")  # in a variant's name: its scales agree

QUESTIONS = {  # as in images/tiny-qwable/smoke.yml: question to the pattern of its answer
    "What is the capital of France?": r"(?i)\bparis\b",
    "What is 2 + 2?": r"\b4\b",
    "What colour is the sky on a clear day?": r"(?i)\bblue\b",
    "How many days are in a week?": r"(?i)\b(seven|7)\b",
    "What is the opposite of hot?": r"(?i)\bcold\b",
    "What sound does a dog make?": r"(?i)\bbark",
    "Which day comes after Monday?": r"(?i)\btuesday\b",
    "What is the largest planet in the solar system?": r"(?i)\bjupiter\b",
    "What is the chemical formula of water?": "H2O",
    "How do you say thank you in French?": r"(?i)\bmerci\b",
    "What is 6 times 7?": r"\b42\b",
    "Which city is the capital of Japan?": r"(?i)\btokyo\b",
}
MAX_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Variant:
    """One checkpoint to serve; ``reference`` names the variant it is compared with."""

    name: str
    directory: Path
    reference: str | None
    quantized: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What one variant did."""

    name: str
    seconds_to_ready: float
    marlin: bool
    text_only: bool
    scales_differ: bool
    right: int
    asked: int
    divergence: Divergence | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every variant did what its name promises."""
    options = _options(arguments)
    variants = [_variant(text) for text in options.variants]
    texts: dict[str, list[list[int]]] = {}
    scores: dict[str, list[Distribution]] = {}
    all_seen: list[Seen] = []
    wrong: list[str] = []
    options.logs.mkdir(parents=True, exist_ok=True)
    for variant in variants:
        if variant.reference and variant.reference not in scores:
            wrong.append(f"{variant.name}: its reference {variant.reference} was not served before it")
            continue
        log = options.logs / f"{variant.name}.log"
        started = time.monotonic()
        try:
            with serve(
                variant.directory,
                release=options.release,
                log=log,
                vllm=options.vllm.split(),
                extra=options.extra.split(),
                model=options.model,
                timeout=options.timeout,
            ) as served:
                ready = time.monotonic() - started
                right, said = _ask(served)
                spoken = texts[variant.reference] if variant.reference else said
                texts[variant.name] = spoken
                scores[variant.name] = [
                    row for text in spoken for row in served.score(text, options.vocabulary)
                ]
        except NotServingError as error:
            wrong.append(f"{variant.name}: {error}")
            continue
        found = log.read_text(errors="replace")
        compared = divergence(scores[variant.reference], scores[variant.name]) if variant.reference else None
        seen = Seen(
            variant.name,
            round(ready, 1),
            bool(MARLIN.search(found)),
            TEXT_ONLY in found,
            SCALES_DIFFER in found,
            right,
            len(QUESTIONS),
            compared,
        )
        wrong += _wrong(variant, seen)
        all_seen.append(seen)
        _say(seen)
    options.out.write_text(
        json.dumps({"seen": [asdict(seen) for seen in all_seen], "wrong": wrong}, indent=2) + "\n"
    )
    for line in wrong:
        print(line, file=sys.stderr)  # noqa: T201 - a program of its own
    return 1 if wrong else 0


def _ask(served: Served) -> tuple[int, list[list[int]]]:
    right = 0
    said = []
    for question, pattern in QUESTIONS.items():
        answer, tokens = served.answer(question, MAX_TOKENS)
        right += bool(re.search(pattern, answer))
        said.append(tokens)
    return right, said


def _wrong(variant: Variant, seen: Seen) -> list[str]:
    wrong = []
    if variant.quantized and not seen.marlin:
        wrong.append(f"{variant.name}: quantized, but vLLM did not say that it uses Marlin")
    if not seen.text_only:
        wrong.append(f"{variant.name}: vLLM did not say that it runs in text-only mode")
    if any(word in variant.name for word in MENDED) and seen.scales_differ:
        wrong.append(f"{variant.name}: vLLM still finds gate and up scales that differ")
    return wrong


def _variant(text: str) -> Variant:
    name, _, rest = text.partition("=")
    directory, _, reference = rest.partition(":")
    config = json.loads((Path(directory) / "config.json").read_text())
    return Variant(name, Path(directory), reference or None, "quantization_config" in config)


def _say(seen: Seen) -> None:
    compared = seen.divergence
    print(  # noqa: T201 - a program of its own
        f"{seen.name:<20} ready {seen.seconds_to_ready:5.1f} s  marlin {seen.marlin!s:<5}  "
        f"scales differ {seen.scales_differ!s:<5}  "
        f"right {seen.right}/{seen.asked}"
        + (
            f"  mean KL {compared.mean_kl:.5f}  same top {compared.same_top:.1%} of {compared.positions}"
            if compared
            else ""
        ),
        flush=True,
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="+", metavar="NAME=DIR[:REFERENCE]")
    parser.add_argument("--release", type=Path, required=True, help="directory that `thorctl render` wrote")
    parser.add_argument("--out", type=Path, default=Path("marlin.json"))
    parser.add_argument("--logs", type=Path, default=Path("marlin-logs"))
    parser.add_argument(
        "--vllm", default="vllm", help="the command, such as 'python3 -m vllm.entrypoints.cli.main'"
    )
    parser.add_argument(
        "--extra", default="", help="further options of `vllm serve`; said in the report of the run"
    )
    parser.add_argument("--model", default="qwable-v1", help="served-model-name")
    parser.add_argument("--vocabulary", type=int, default=2048, help="tokens scored at each position")
    parser.add_argument("--timeout", type=float, default=600)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
