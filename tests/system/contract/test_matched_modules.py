"""The audit's names and verdicts are those of vLLM's own matcher, on the layers that vLLM builds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.contract import parsers
from thorctl.checkpoint import engine_names

if TYPE_CHECKING:
    from docker import DockerClient

MODEL = Path(__file__).resolve().parents[3] / "images" / "tiny-qwable" / "model"
LAYERS, EXPERTS, FULL = 4, 8, 3  # of tiny-qwable; the layer with full attention
WEIGHTS = {
    "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True,
    "dynamic": False,
}  # fmt: skip
USUAL = ["re:.*linear_attn.*", "re:.*mlp.gate$", "re:.*shared_expert_gate$", "re:.*embed_tokens$"]
USUAL += ["re:.*lm_head", "re:.*visual.*", "re:.*mtp.*", "re:.*norm.*"]
BASE = [one for one in USUAL if "linear_attn" not in one]
GDN = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")


def _each(stem: str, names: tuple[str, ...]) -> list[str]:
    return [stem.format(layer, name) for layer in range(LAYERS) for name in names]


LINEAR, ENGINE = (
    "model.language_model.layers.{}.linear_attn.{}",
    "language_model.model.layers.{}.linear_attn.{}",
)
EXPERT = "model.language_model.layers.{}.mlp.experts.{}.{}"
IGNORED: dict[str, list[str]] = {
    "as llm-compressor writes it": USUAL,
    "nothing": [],
    "anchored, the checkpoint's names": [*BASE, r"re:^model\.language_model\.layers\.\d+\.linear_attn\..*"],
    "anchored, vLLM's names": [*BASE, r"re:^language_model\.model\.layers\.\d+\.linear_attn\..*"],
    "anchored, one part of a pair": [*BASE, r"re:^language_model\..*\.in_proj_(qkv|b)$"],
    "an expression without .* before": [*BASE, "re:linear_attn"],
    "an expression of the fused names": [*BASE, "re:.*in_proj_(qkvz|ba)$"],
    "an expression of all parts": [*BASE, "re:.*in_proj_(qkv|z|a|b)$", "re:.*out_proj$"],
    "exact": [*BASE, *_each(LINEAR, GDN)],
    "exact, vLLM's names": [*BASE, *_each(ENGINE, GDN)],
    "exact, fused": [*BASE, *_each(LINEAR, ("in_proj_qkvz", "in_proj_ba", "out_proj"))],
    "exact, fused, vLLM's names": [*BASE, *_each(ENGINE, ("in_proj_qkvz", "in_proj_ba", "out_proj"))],
    "containers": [*BASE, *[f"model.language_model.layers.{layer}.linear_attn" for layer in range(LAYERS)]],
    "half pairs": [*BASE, *_each(LINEAR, ("in_proj_qkv", "in_proj_a"))],
    "half of q, k, v": [*USUAL, f"model.language_model.layers.{FULL}.self_attn.q_proj"],
    "a shared expert's gate": [*USUAL, "re:.*shared_expert.gate_proj"],
    "expert 5 alone": [*USUAL, *[EXPERT.format(0, 5, one) for one in ("gate_proj", "up_proj", "down_proj")]],
    "expert 0 alone": [*USUAL, *[EXPERT.format(0, 0, one) for one in ("gate_proj", "up_proj", "down_proj")]],
    "expert 0's gate": [*USUAL, EXPERT.format(0, 0, "gate_proj")],
    "all experts": [*USUAL, "re:.*mlp.experts.*"],
    "experts as one": [*USUAL, "model.language_model.layers.0.mlp.experts"],
    "anchored heads and tower": [*USUAL[:4], "re:^lm_head$", "re:^mtp", r"re:^model\.visual"],
    "anchored heads and tower, vLLM's names": [
        *USUAL[:4],
        "re:^language_model.lm_head",
        "re:^mtp",
        "re:^visual",
    ],
    "exact heads": [*USUAL[:4], "lm_head", "mtp.fc", "model.visual.merger.linear_fc1"],
}
TARGETS: dict[str, list[list[str]]] = {
    "Linear": [["Linear"]],
    "linear": [["linear"]],
    "expressions": [["re:.*mlp.experts.*", "re:.*shared_expert.*proj", "re:.*self_attn.*proj"]],
    "anchored": [[r"re:^model\.language_model\..*mlp.experts.*"]],
    "exact parts": [[f"model.language_model.layers.{FULL}.self_attn.{one}_proj" for one in "qkvo"]],
    "a half": [[f"model.language_model.layers.{FULL}.self_attn.q_proj", "re:.*mlp.*"]],
    "classes": [["QKVParallelLinear", "FusedMoE"]],
    "the head": [["re:.*lm_head", "Linear"]],
    "two groups": [["re:.*self_attn.*"], ["Linear"]],
    "none": [],
}


def quantization(ignore: list[str], targets: list[list[str]]) -> dict[str, Any]:
    groups = {
        f"group_{number}": {"targets": of, "weights": WEIGHTS, "input_activations": None}
        for number, of in enumerate(targets)
    }
    return {
        "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "ignore": ignore,
        "config_groups": groups,
    }  # fmt: skip


CASES = {f"ignored: {name}": (ignore, [["Linear"]]) for name, ignore in IGNORED.items()}
CASES |= {f"targets: {name}": (USUAL, targets) for name, targets in TARGETS.items()}
CASES |= {f"targets alone: {name}": ([], targets) for name, targets in TARGETS.items() if name != "Linear"}


def checkpoint_names() -> list[str]:
    """Every module of tiny-qwable's checkpoint, and those of an MTP head."""
    visual = ["merger.linear_fc1", "merger.linear_fc2", "patch_embed.proj"]
    visual += [f"blocks.0.{one}" for one in ("attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2")]
    names = [f"model.visual.{one}" for one in visual]
    names += ["lm_head", "mtp.fc", "mtp.norm"]
    names += ["model.language_model.embed_tokens", "model.language_model.norm"]
    for stem in [*(f"model.language_model.layers.{layer}" for layer in range(LAYERS)), "mtp.layers.0"]:
        full = stem.endswith(f".{FULL}") or stem.startswith("mtp")
        names += [f"{stem}.self_attn.{one}_proj" for one in "qkvo"] if full else []
        names += [] if full else [f"{stem}.linear_attn.{one}" for one in (*GDN, "conv1d", "norm")]
        names += [f"{stem}.mlp.{one}" for one in ("gate", "shared_expert_gate")]
        stems = [f"{stem}.mlp.shared_expert", *(f"{stem}.mlp.experts.{one}" for one in range(EXPERTS))]
        names += [f"{one}.{part}_proj" for one in stems for part in ("gate", "up", "down")]
    return names


@pytest.fixture(scope="module")
def matched(docker_client: DockerClient, vllm_0_19: Path) -> dict[str, dict[str, Any]]:
    """What each version builds, and its verdict on every module in every case."""
    image = parsers.engine_image(docker_client)
    config = json.loads((MODEL / "config.json").read_text())
    asked = {"config": config, "quantization": {name: quantization(*case) for name, case in CASES.items()}}
    return {
        version: parsers.ask(
            image, asked, vllm_0_19 if version.startswith("0.19") else None, "matched_modules.py"
        )
        for version in parsers.MODEL_VERSIONS
    }


def ours(version: str, case: str) -> dict[str, str]:
    ignore, targets = CASES[case]
    named = {target: f"group_{number}" for number, of in enumerate(targets) for target in of}
    found = {}
    for layer in engine_names.layers(checkpoint_names()):
        try:
            group = engine_names.group_of(layer, ignore, named, version)
        except engine_names.MixedSchemesError:
            found[layer.name] = "refused"
        else:
            found[layer.name] = "quantized" if group else "plain"
    return found


def theirs(answer: dict[str, Any], case: str) -> dict[str, str]:
    """Without attention itself (its cache's scales) and the draft's own view of lm_head."""
    classes = {name: kind for of in answer["modules"].values() for name, kind in of.items()}
    return {
        name: verdict
        for name, verdict in answer["verdicts"][case].items()
        if classes[name] != "Attention" and name != "lm_head"
    }


@pytest.mark.vllm
@pytest.mark.parametrize("version", parsers.MODEL_VERSIONS)
def test_the_layers_are_vllms(matched: dict[str, dict[str, Any]], version: str) -> None:
    layers = engine_names.layers(checkpoint_names())
    short = version.rpartition(".")[0]
    built = {name: kind for of in matched[version]["modules"].values() for name, kind in of.items()}
    built = {name: kind for name, kind in built.items() if kind != "Attention" and name != "lm_head"}
    # 0.19 does not ask for its lm_head.
    mine = {layer.name: layer.class_name(short) for layer in layers}
    assert mine == {"language_model.lm_head": "ParallelLMHead"} | built


@pytest.mark.vllm
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", parsers.MODEL_VERSIONS)
def test_the_verdicts_are_vllms(matched: dict[str, dict[str, Any]], version: str, case: str) -> None:
    short = version.rpartition(".")[0]
    mine, its = ours(short, case), theirs(matched[version], case)
    assert {name: verdict for name, verdict in mine.items() if name in its} == its
    assert {name for name in mine if name not in its} <= {"language_model.lm_head"}
