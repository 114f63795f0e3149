"""The audit tells what a checkpoint is, and names each thing that is off."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_hub_tree import served
from thorctl.checkpoint.audit import audit
from thorctl.checkpoint.modules import Kind
from thorctl.checkpoint.source import Folder, Hub
from thorctl.errors import ThorError
from thorctl.profile import Checkpoint
from thorctl.sim import hub_tree

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


def test_scales_that_differ_are_the_one_thing_off(written: Path) -> None:
    found = audit(Folder(written))
    assert len(found.off) == 2
    assert all("vLLM applies one to all" in line for line in found.off)
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


CONFIGURATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another group size": (lambda c: weights_of(c).update(group_size=32), "says group_size: 32, not 16"),
    "quantized activations": (
        lambda c: c["quantization_config"]["config_groups"]["NVFP4A16"].update(
            input_activations={"num_bits": 4}
        ),
        "quantizes input_activations too",
    ),
    "routed experts ignored": (
        lambda c: c["quantization_config"]["ignore"].append("re:.*mlp.experts.*"),
        "modules are quantized and in the ignore list",
    ),
    "lm_head not ignored": (
        lambda c: c["quantization_config"]["ignore"].remove("re:.*lm_head"),
        "1 modules are neither quantized nor ignored: lm_head",
    ),
    "no quantization_config": (lambda c: c.pop("quantization_config"), "has no quantization_config"),
    "more experts than there are": (
        lambda c: c["text_config"].update(num_experts=9),
        "4 experts are not whole: layer 0 expert 8",
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
        "by an expression that is none",
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
    assert any(sentence in line for line in audit(Folder(copy)).off), audit(Folder(copy)).off


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("chat_template.jinja", None, "there is no chat template"),
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
