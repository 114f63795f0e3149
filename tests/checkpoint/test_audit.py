"""The audit tells what a checkpoint is, and names each thing that is off."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.sim.test_hub_tree import served
from tests.support.doubles.command_line import thorctl
from thorctl.checkpoint import engine_names, hub_tree, inventory, repair
from thorctl.checkpoint.audit import Verdict, audit
from thorctl.checkpoint.modules import Kind
from thorctl.checkpoint.source import Folder, Hub
from thorctl.cli.checkpoint.repair import repair_view
from thorctl.errors import ThorError
from thorctl.release.profile import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_source_is_what_it_should_be(bf16: Path) -> None:
    found = audit(Folder(bf16))
    assert found.off == ()
    assert not found.quantized
    assert {row.format for row in found.rows} == {"BF16"}


def test_the_cards_table_as_measured(written: Path) -> None:
    found = audit(Folder(written))
    table = {row.kind: (row.format, row.modules) for row in found.rows}
    assert table[Kind.ROUTED] == ("NVFP4", 4 * 8 * 3)
    assert table[Kind.SHARED] == ("NVFP4", 4 * 3)
    assert table[Kind.ATTENTION] == ("NVFP4", 4)
    assert {kind for kind, (form, _) in table.items() if form == "BF16"} == {
        Kind.GDN, Kind.ROUTER, Kind.EMBEDDINGS, Kind.LM_HEAD, Kind.NORM, Kind.VISION,
    }  # fmt: skip
    assert sum(row.bytes for row in found.rows) < found.disk_bytes < found.bf16_bytes


def test_scales_that_differ_a_little_are_served_and_repaired_later(written: Path) -> None:
    found = audit(Folder(written))
    assert found.off == ()
    assert found.verdict is Verdict.REPAIR_LATER
    assert "serve it, repair when convenient: scales differ by up to 1." in found.advice
    assert len(found.findings) == 2
    assert all("vLLM applies one to all" in one.line for one in found.findings)
    by_kind = {kind.kind: kind for kind in found.fused}
    assert by_kind["q/k/v of an attention layer"].differ == 0
    assert by_kind["gate/up of a routed expert"].differ > 0


def test_a_hub_is_read_by_ranges_alone(written: Path, tmp_path: Path) -> None:
    hub_tree.publish(tmp_path / "hub", "thorctl/tiny", written)
    with served(tmp_path / "nginx", tmp_path / "hub") as address:
        wanted = Checkpoint(repository="thorctl/tiny", revision="main", endpoint=address)
        with Hub(wanted) as hub:
            found = audit(hub)
    assert found.off == audit(Folder(written)).off
    asked = (tmp_path / "nginx" / "access").read_text().splitlines()
    weights = [line for line in asked if line.endswith(".safetensors") and " 206 " in line]
    assert weights
    assert len(weights) <= 3  # the header, and all global scales with one request
    assert not [line for line in asked if line.endswith(".safetensors") and " 200 " in line]


def changed_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def weights_of(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["quantization_config"]["config_groups"]["NVFP4A16"]["weights"]
    return found


LOCK = re.compile(r"\block")


def ignoring(config: dict[str, Any], *entries: str) -> None:
    """In place of the expression for Gated DeltaNet layers."""
    ignore = config["quantization_config"]["ignore"]
    config["quantization_config"]["ignore"] = [one for one in ignore if "linear_attn" not in one] + [*entries]


CONFIGURATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another group size": (lambda c: weights_of(c).update(group_size=32), "has group_size: 32, not 16"),
    "quantized activations": (
        lambda c: c["quantization_config"]["config_groups"]["NVFP4A16"].update(
            input_activations={"num_bits": 4}
        ),
        "tensors that do not fit",
    ),
    "routed experts ignored": (
        lambda c: c["quantization_config"]["ignore"].append("re:.*mlp.experts.*"),
        "modules are quantized and in the ignore list",
    ),
    "an anchored expression of the checkpoint's names": (
        lambda c: ignoring(c, r"re:^model\.language_model\.layers\.\d+\.linear_attn\..*"),
        "15 modules are neither quantized nor ignored: model.language_model.layers.0.linear_attn.in_proj_a",
    ),
    "half pairs": (
        lambda c: ignoring(c, "re:.*linear_attn.in_proj_(qkv|a|b)$", "re:.*linear_attn.out_proj"),
        "(only some of in_proj_qkv, in_proj_z are ignored): language_model.model.layers.0.linear_attn",
    ),
    "an expression of the fused names, which 0.19 does not ask for": (
        lambda c: ignoring(c, "re:.*in_proj_(qkvz|ba)$", "re:.*linear_attn.out_proj"),
        "(vLLM 0.19)",
    ),
    "one expert, where vLLM asks for expert 0 alone": (
        lambda c: c["quantization_config"]["ignore"].append("re:.*layers.2.mlp.experts.0.*"),
        "24 modules are quantized and in the ignore list: model.language_model.layers.2.mlp.experts.0",
    ),
    "targets of other names": (
        lambda c: c["quantization_config"]["config_groups"]["NVFP4A16"].update(targets=["re:^model.*"]),
        "modules are quantized and in the ignore list",
    ),
    "targets that are none": (
        lambda c: c["quantization_config"]["config_groups"]["NVFP4A16"].update(targets="Linear"),
        "targets that are no list of names",
    ),
    "no quantization_config": (lambda c: c.pop("quantization_config"), "has no quantization_config"),
    "more experts than there are": (
        lambda c: c["text_config"].update(num_experts=9),
        "4 experts are incomplete: layer 0 expert 8",
    ),
    "fewer layers than there are": (
        lambda c: c["text_config"].update(num_hidden_layers=3),
        "8 experts are not in config.json: layer 3 expert 0",
    ),
    "an ignore list of numbers": (
        lambda c: c["quantization_config"].update(ignore=[1]),
        "that is no list of names",
    ),
    "an ignored expression that is none": (
        lambda c: c["quantization_config"].update(ignore=["re:("]),
        "an invalid expression",
    ),
    "no groups": (lambda c: c["quantization_config"].update(config_groups=[1]), "has 0 groups"),
    "another format": (
        lambda c: c["quantization_config"].update(format="pack-quantized"),
        "quant_method and format are compressed-tensors and pack-quantized",
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_that_does_not_fit(written: Path, tmp_path: Path, name: str) -> None:
    change, sentence = CONFIGURATIONS[name]
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    changed_config(copy, lambda config: (change(config), None)[1])
    found = audit(Folder(copy))
    assert any(sentence in line for line in found.off), found.off
    assert found.verdict is Verdict.REJECT
    # It works on a folder for which nothing was ever locked.
    assert not [one for one in found.findings if LOCK.search(one.line + one.remedy)]


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("tokenizer.json", None, "there is no tokenizer.json"),
        ("tokenizer.json", "{}", "</think> is not a token"),
    ],
)
def test_what_the_engine_needs_to_speak(
    written: Path, tmp_path: Path, file: str, text: str | None, sentence: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    (copy / file).unlink()
    if text is not None:
        (copy / file).write_text(text)
    assert any(sentence in line for line in audit(Folder(copy)).off)


def test_an_index_that_lies(sharded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sharded, copy)
    path = copy / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["gone.weight"] = "model-00001-of-00005.safetensors"
    del index["weight_map"]["lm_head.weight"]
    path.write_text(json.dumps(index))
    off = audit(Folder(copy)).off
    assert any("the index lists gone.weight, which no shard has" in line for line in off)
    assert any("lm_head.weight is in" in line and "not in the index" in line for line in off)


def test_a_shard_that_is_missing(sharded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sharded, copy)
    (copy / "model-00003-of-00005.safetensors").unlink()
    with pytest.raises(ThorError) as caught:
        audit(Folder(copy))
    assert caught.value.code == "checkpoint_incomplete"


FAMILY = '"architectures": ["Qwen3_5MoeForConditionalGeneration"]'
FIT = '"text_config": {"num_hidden_layers": 4, "num_experts": 8}'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"architectures": ["Other"]}',
        '{"architectures": 5}',
        f"{{{FAMILY}}}",
        f'{{{FAMILY}, "text_config": {{}}}}',
        f'{{{FAMILY}, "text_config": {{"num_hidden_layers": "4", "num_experts": 8}}}}',
        f'{{{FAMILY}, {FIT}, "quantization_config": [1]}}',
    ],
)
def test_a_config_of_something_else(written: Path, tmp_path: Path, text: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    (copy / "config.json").write_text(text)
    with pytest.raises(ThorError) as caught:
        audit(Folder(copy))
    assert caught.value.code in {"checkpoint_damaged", "architecture_unknown"}


def test_a_chat_template_may_be_the_profiles(written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    (copy / "chat_template.jinja").unlink()
    found = audit(Folder(copy))
    assert found.off == ()
    assert any("the profile must have one" in one.line for one in found.findings)


HARMLESS: dict[str, Callable[[dict[str, Any]], object]] = {
    # vLLM builds its lm_head without asking, or finds that "Linear" is not in the class's name.
    "lm_head not ignored": lambda c: c["quantization_config"]["ignore"].remove("re:.*lm_head"),
    "GDN layers by exact names": lambda c: ignoring(
        c,
        *(
            f"model.language_model.layers.{layer}.linear_attn.{name}"
            for layer in range(4)
            for name in ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")
        ),
    ),
    "anchored, vLLM's names": lambda c: ignoring(c, r"re:^language_model\.model\.layers\.\d+\.linear_attn\."),
    "an expert that vLLM does not ask for": lambda c: c["quantization_config"]["ignore"].append(
        "re:.*layers.2.mlp.experts.5.*"
    ),
    "the tower, which a profile leaves unbuilt": lambda c: c["quantization_config"]["ignore"].remove(
        "re:.*visual.*"
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_lists_that_vllm_reads_as_they_were_meant(written: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    changed_config(copy, lambda config: (HARMLESS[name](config), None)[1])
    assert audit(Folder(copy)).off == ()


DTYPES = {
    "BF16": ml_dtypes.bfloat16, "F32": np.float32, "U8": np.uint8, "F8_E4M3": ml_dtypes.float8_e4m3fn,
}  # fmt: skip


def rewritten(original: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy whose tensors ``change`` has had in its hands, by name."""
    shutil.copytree(original, out)
    source = Folder(original)
    tensors = {
        name: np.frombuffer(
            bytearray(source.read("model.safetensors", tensor.start, tensor.bytes)),
            dtype=DTYPES[tensor.dtype],
        ).reshape(tensor.shape)
        for name, tensor in inventory.read(source).tensors.items()
    }
    change(tensors)
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


EXPERT = "model.language_model.layers.1.mlp.experts.3"
QUERY = "model.language_model.layers.3.self_attn.k_proj"


def dead(
    module: str, scale: float, part: str = "weight_packed", block: int | None = None
) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        zeros = tensors[f"{module}.{part}"].view(np.uint8)
        zeros[...] = 0
        if block is not None:
            tensors[f"{module}.weight_scale"].view(np.uint8)[...] = block
        tensors[f"{module}.weight_global_scale"] = np.array([scale], np.float32)

    return change


def odd(module: str, scale: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[f"{module}.weight_global_scale"] = np.array([scale], np.float32)

    return change


INFINITE, LATER, FIRST = float("inf"), Verdict.REPAIR_LATER, Verdict.REPAIR_FIRST
ODD: dict[str, tuple[Callable[[dict[str, Any]], None], Verdict]] = {
    "a dead gate, inf": (dead(f"{EXPERT}.gate_proj", INFINITE), LATER),
    "a dead gate, by its block scales": (dead(f"{EXPERT}.gate_proj", INFINITE, "weight_scale"), LATER),
    "a dead gate, scale 1": (dead(f"{EXPERT}.gate_proj", 1.0), LATER),
    "a dead up, inf": (dead(f"{EXPERT}.up_proj", INFINITE), LATER),
    "a dead down, inf": (dead(f"{EXPERT}.down_proj", INFINITE), LATER),
    "a dead gate, scale 0": (dead(f"{EXPERT}.gate_proj", 0.0), FIRST),
    "a dead gate, NaN": (dead(f"{EXPERT}.gate_proj", float("nan")), FIRST),
    "a dead gate, NaN in its blocks": (dead(f"{EXPERT}.gate_proj", INFINITE, block=0x7F), FIRST),
    "dead keys, inf": (dead(QUERY, INFINITE), FIRST),
    "a living gate, inf": (odd(f"{EXPERT}.gate_proj", INFINITE), Verdict.REJECT),
    "a living gate, NaN": (odd(f"{EXPERT}.gate_proj", float("nan")), Verdict.REJECT),
    "a living gate, negative": (odd(f"{EXPERT}.gate_proj", -3.0), Verdict.REJECT),
    "a living down, 0": (odd(f"{EXPERT}.down_proj", 0.0), Verdict.REJECT),
    "a scale of another shape": (
        lambda t: t.update({f"{EXPERT}.up_proj.weight_global_scale": np.ones((2,), np.float32)}),
        Verdict.REJECT,
    ),
    "a scale of another dtype": (
        lambda t: t.update({f"{EXPERT}.up_proj.weight_global_scale": np.ones((1,), np.float16)}),
        Verdict.REJECT,
    ),
    "a scale that is missing": (lambda t: t.pop(f"{EXPERT}.up_proj.weight_global_scale"), Verdict.REJECT),
    "packed weights that are missing": (lambda t: t.pop(f"{EXPERT}.up_proj.weight_packed"), Verdict.REJECT),
}


@pytest.mark.parametrize("name", ODD)
def test_one_odd_value_costs_one_line(repaired: Path, tmp_path: Path, name: str) -> None:
    change, verdict = ODD[name]
    found = audit(Folder(rewritten(repaired, tmp_path / "copy", change)))
    assert found.verdict is verdict
    assert [Kind.ROUTED in {row.kind for row in found.rows}, len(found.findings)] == [True, 1]
    assert EXPERT in found.findings[0].line or QUERY in found.findings[0].line
    assert re.match(r"1 (zero )?(matrix|quantized module|module|expert|layer)\b", found.findings[0].line)
    assert "×" not in found.advice  # one scale that is none has no ratio to another
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize("name", [name for name, (_, verdict) in ODD.items() if verdict in {LATER, FIRST}])
def test_a_zero_matrix_takes_its_partners_scale_without_loss(
    repaired: Path, tmp_path: Path, name: str
) -> None:
    copy = rewritten(repaired, tmp_path / "copy", ODD[name][0])
    done = repair.repair(repair.opened(Folder(copy)), tmp_path / "out")
    assert (done.repaired, done.after.relative) == (1, 0.0)
    shown = str(repair_view(done, tmp_path / "out"))
    assert "1 ×" not in shown
    assert ("%" in shown) == (done.before.squared_weights > 0)
    assert audit(Folder(tmp_path / "out")).verdict is Verdict.SERVE


@pytest.mark.parametrize("name", [name for name, (_, verdict) in ODD.items() if "living gate" in name])
def test_a_living_matrix_without_a_scale_is_not_repaired(repaired: Path, tmp_path: Path, name: str) -> None:
    copy = rewritten(repaired, tmp_path / "copy", ODD[name][0])
    with pytest.raises(ThorError) as caught:
        repair.repair(repair.opened(Folder(copy)), tmp_path / "out")
    assert caught.value.code == "checkpoint_damaged"


def test_scales_far_apart_are_repaired_first(sharded: Path) -> None:
    found = audit(Folder(sharded))
    assert found.verdict is Verdict.REPAIR_FIRST
    assert "repair first: scales differ by up to" in found.advice
    assert found.off


def test_a_log_in_fp32_is_normal(repaired: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.endswith(("A_log", "linear_attn.norm.weight"))]:
            tensors[name] = tensors[name].astype(np.float32)

    found = audit(Folder(rewritten(repaired, tmp_path / "copy", change)))
    assert (found.verdict, found.findings) == (Verdict.SERVE, ())


def as_modelopt(folder: Path) -> None:
    (folder / "hf_quant_config.json").write_text(
        json.dumps(
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}}
        )
    )
    changed_config(folder, lambda c: c.pop("quantization_config"))

    def change(tensors: dict[str, Any]) -> None:
        for name in list(tensors):
            stem, _, part = name.rpartition(".")
            new = {"weight_packed": "weight", "weight_global_scale": "weight_scale_2"}.get(part, part)
            tensors[f"{stem}.{new}"] = tensors.pop(name)

    rewritten(folder, folder.with_name("other"), change)
    shutil.copy(folder.with_name("other") / "model.safetensors", folder)


def of_method(**settings: object) -> Callable[[Path], None]:
    return lambda folder: changed_config(folder, lambda c: c.update(quantization_config=settings))


def of_weights(**settings: object) -> Callable[[Path], None]:
    return lambda folder: changed_config(folder, lambda c: weights_of(c).update(settings))


DIALECTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "ModelOpt": (as_modelopt, "NVFP4 in the notation of NVIDIA ModelOpt"),
    "ModelOpt in config.json": (
        of_method(quant_method="modelopt", quant_algo="NVFP4"),
        "NVFP4 in the notation of NVIDIA ModelOpt",
    ),
    "FP8 of compressed-tensors": (
        of_weights(num_bits=8, strategy="channel"),
        "FP8 weights, 16-bit activations",
    ),
    "MXFP4": (of_weights(strategy="group", group_size=32), "MXFP4 weights, 16-bit activations"),
    "INT4": (of_weights(type="int", strategy="group"), "INT4 weights, 16-bit activations"),
    "AWQ": (of_method(quant_method="awq", bits=4), "INT4 weights (AWQ)"),
    "GPTQ": (of_method(quant_method="gptq", bits=4), "INT4 weights (GPTQ)"),
    "FP8": (of_method(quant_method="fp8"), "FP8"),
    "another": (of_method(quant_method=["?"]), "quantized by ['?']"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_another_notation_is_named_and_not_judged(
    repaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repaired, copy)
    change, called = DIALECTS[name]
    change(copy)
    found = audit(Folder(copy))
    assert called in found.dialect
    assert (found.verdict, found.off) == (Verdict.NOT_JUDGED, ())
    monkeypatch.setenv("COLUMNS", "200")
    shown = thorctl("checkpoint", "audit", str(copy))
    assert shown.returncode == 1
    assert called in shown.stdout.splitlines()[0]


def test_activations_of_four_bits_are_named_and_judged(repaired: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.endswith("weight_global_scale")]:
            stem = name.removesuffix("weight_global_scale")
            tensors[f"{stem}input_global_scale"] = np.ones((1,), np.float32)

    copy = rewritten(repaired, tmp_path / "copy", change)
    four_bits = CONFIGURATIONS["quantized activations"][0]
    changed_config(copy, lambda config: (four_bits(config), None)[1])
    found = audit(Folder(copy))
    assert "NVFP4 weights, 4-bit activations (W4A4)" in found.dialect
    assert (found.verdict, found.findings) == (Verdict.SERVE, ())


def test_a_torn_file_is_told_without_a_lock(written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    os.truncate(copy / "model.safetensors", 1000)
    with pytest.raises(ThorError) as caught:
        audit(Folder(copy))
    assert caught.value.code == "checkpoint_damaged"
    assert not LOCK.search(caught.value.remedy)


def test_names_are_vllms() -> None:
    layers = engine_names.layers(["lm_head", "model.visual.blocks.0.attn.qkv", f"{EXPERT}.gate_proj", QUERY])
    assert [layer.name for layer in layers] == [
        "language_model.lm_head",
        "language_model.model.layers.1.mlp.experts",
        "language_model.model.layers.3.self_attn.qkv_proj",
        "visual.blocks.0.attn.qkv",
    ]
