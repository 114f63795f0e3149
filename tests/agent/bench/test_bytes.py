"""Bytes per token: the full-size model's, as they were measured, and what each rule counts."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.agent.bench.bytes import PARTS, UnaccountableError, bytes_per_token, kind_of, share
from thorctl.agent.bench.headers import tensor_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

TINY = Path(__file__).resolve().parents[3] / "images" / "tiny-qwable" / "model"
# config.json of the full-size architecture, as far as it counts (40 layers, every fourth full attention).
TEXT: dict[str, Any] = {
    "vocab_size": 248320,
    "hidden_size": 2048,
    "num_hidden_layers": 40,
    "full_attention_interval": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "mamba_ssm_dtype": "float32",
    "num_experts": 256,
    "num_experts_per_tok": 8,
}
CONFIG = {"text_config": TEXT}
# 48 tokens in, 256 out: half of the answer is in the cache, on average.
CONTEXT = 48 + 128
MOE, HIDDEN, EXPERTS = 512, 2048, 256


def linear(name: str, rows: int, columns: int, *, quantized: bool) -> dict[str, int]:
    """A linear layer: BF16; or NVFP4, with an FP8 scale for 16 weights and one FP32 scale."""
    if not quantized:
        return {f"{name}.weight": 2 * rows * columns}
    packed, scales = rows * columns // 2, rows * columns // 16
    return {f"{name}.weight_packed": packed, f"{name}.weight_scale": scales, f"{name}.weight_global_scale": 4}


def full_size(*, quantized: bool) -> dict[str, int]:
    """Tensors of the 35B model and their bytes: NVFP4 expert by expert, or BF16 with fused experts."""
    tensors = {
        "lm_head.weight": 2 * 248320 * HIDDEN,
        "model.language_model.embed_tokens.weight": 2 * 248320 * HIDDEN,
        "model.language_model.norm.weight": 2 * HIDDEN,
        "model.visual.blocks.0.attn.qkv.weight": 10**9,
        "mtp.layers.0.mlp.experts.0.gate_proj.weight": 10**9,
    }
    for number in range(40):
        layer = f"model.language_model.layers.{number}"
        tensors |= {
            f"{layer}.input_layernorm.weight": 2 * HIDDEN,
            f"{layer}.post_attention_layernorm.weight": 2 * HIDDEN,
            f"{layer}.mlp.gate.weight": 2 * EXPERTS * HIDDEN,
            f"{layer}.mlp.shared_expert_gate.weight": 2 * HIDDEN,
        }
        mixer = f"{layer}.self_attn" if number % 4 == 3 else f"{layer}.linear_attn"
        if number % 4 == 3:
            for name, rows, columns in (
                ("q", 8192, 2048),
                ("k", 512, 2048),
                ("v", 512, 2048),
                ("o", 2048, 4096),
            ):
                tensors |= linear(f"{mixer}.{name}_proj", rows, columns, quantized=quantized)
        else:
            for name, rows, columns in (
                ("qkv", 8192, 2048),
                ("z", 4096, 2048),
                ("a", 32, 2048),
                ("b", 32, 2048),
            ):
                tensors |= linear(f"{mixer}.in_proj_{name}", rows, columns, quantized=False)
            tensors |= linear(f"{mixer}.out_proj", 2048, 4096, quantized=False)
            tensors |= {
                f"{mixer}.conv1d.weight": 2 * 8192 * 4,
                f"{mixer}.A_log": 4 * 32,
                f"{mixer}.dt_bias": 64,
            }
        for name in ("gate", "up", "down"):
            tensors |= linear(f"{layer}.mlp.shared_expert.{name}_proj", MOE, HIDDEN, quantized=quantized)
            if quantized:
                for expert in range(EXPERTS):
                    tensors |= linear(
                        f"{layer}.mlp.experts.{expert}.{name}_proj", MOE, HIDDEN, quantized=True
                    )
        if not quantized:
            tensors[f"{layer}.mlp.experts.gate_up_proj"] = 2 * EXPERTS * 2 * MOE * HIDDEN
            tensors[f"{layer}.mlp.experts.down_proj"] = 2 * EXPERTS * MOE * HIDDEN
    return tensors


@cache
def read_a_token(*, quantized: bool) -> Mapping[str, int]:
    """Bytes that one token of the 35B model reads, by part."""
    return bytes_per_token(full_size(quantized=quantized), CONFIG, serve={}, context_tokens=CONTEXT)


# Gigabytes by part, as docs/explanation/speed.md gives them.
NVFP4 = {
    "lm_head": 1.017,
    "gdn_weights": 2.023,
    "attention": 0.153,
    "shared_experts": 0.071,
    "routed_experts": 0.566,
    "routers": 0.042,
    "gdn_state": 0.129,
    "kv_cache": 0.004,
}


def test_the_nvfp4_model_reads_four_gigabytes_a_token() -> None:
    found = read_a_token(quantized=True)
    assert {part: round(found[part] / 1e9, 3) for part in NVFP4} == NVFP4
    assert round(found["total"] / 1e9, 3) == 4.005
    assert found["dense_mlp"] == 0


def test_the_bf16_model_reads_six() -> None:
    found = read_a_token(quantized=False)
    assert round(found["total"] / 1e9, 3) == 6.025


@pytest.mark.parametrize(
    ("quantized", "gigabytes"), [pytest.param(True, 4.005, marks=pytest.mark.slow), (False, 6.025)]
)
def test_the_same_from_files_of_full_size_whose_weights_are_holes(
    tmp_path: Path, quantized: bool, gigabytes: float
) -> None:
    rows = list(full_size(quantized=quantized).items())
    files = [
        sparse(tmp_path / "model-00001-of-00002.safetensors", dict(rows[::2])),
        sparse(tmp_path / "model-00002-of-00002.safetensors", dict(rows[1::2])),
    ]
    assert sum(file.stat().st_size for file in files) > 20e9
    assert sum(file.stat().st_blocks * 512 for file in files) < 100e6
    found = bytes_per_token(tensor_bytes(files), CONFIG, serve={}, context_tokens=CONTEXT)
    for file in files:
        file.unlink()
    assert round(found["total"] / 1e9, 3) == gigabytes


def sparse(file: Path, tensors: dict[str, int]) -> Path:
    """A safetensors file with a true header, and room for the weights that takes no room."""
    header, end = {}, 0
    for name, size in tensors.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)
    return file


def test_the_parts_make_the_total_and_each_is_there() -> None:
    found = read_a_token(quantized=True)
    assert set(found) == {*PARTS, "total"}
    assert sum(found[part] for part in PARTS) == found["total"]


def test_the_cards_figures_are_61_and_67_percent_of_the_bandwidth() -> None:
    shares = []
    for quantized, card in ((True, 41.8), (False, 30.3)):
        shares.append(share(card, read_a_token(quantized=quantized)["total"], 273e9))
    assert [round(one.limit_tokens_per_second or 0, 1) for one in shares] == [68.2, 45.3]
    assert [round(one.share or 0, 2) for one in shares] == [0.61, 0.67]


def test_without_a_known_bandwidth_there_is_no_share() -> None:
    assert share(41.8, 4 * 10**9, None).share is None


def test_caches_are_counted_in_the_type_they_are_kept_in() -> None:
    tensors = {"lm_head.weight": 1000}
    found = bytes_per_token(tensors, CONFIG, serve={}, context_tokens=1000)
    small = bytes_per_token(
        tensors,
        CONFIG,
        serve={"kv-cache-dtype": "fp8", "mamba-ssm-cache-dtype": "bfloat16"},
        context_tokens=1000,
    )
    assert small["kv_cache"] * 2 == found["kv_cache"] == 10 * 1000 * 2 * 2 * 256 * 2
    assert small["gdn_state"] < found["gdn_state"] == 30 * 2 * (32 * 128 * 128 * 4 + 8192 * 3 * 2)


def test_tied_embeddings_are_read_whole_for_the_logits() -> None:
    found = bytes_per_token({"model.embed_tokens.weight": 248320 * 4}, CONFIG, serve={}, context_tokens=0)
    assert (found["lm_head"], found["embedding_row"]) == (248320 * 4, 4)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        ("mtp.layers.0.self_attn.q_proj.weight", None),
        ("model.visual.merger.norm.weight", None),
        ("model.layers.0.mlp.gate.weight", "routers"),
        ("model.layers.0.mlp.gate_proj.weight", "dense_mlp"),
        ("model.layers.0.linear_attn.norm.weight", "gdn_weights"),
        ("model.layers.0.self_attn.q_norm.weight", "attention"),
        ("model.layers.0.input_layernorm.weight", "norms"),
        ("model.language_model.norm.weight", "norms"),
    ],
)
def test_a_tensor_is_what_its_name_says(tensor: str, kind: str | None) -> None:
    assert kind_of(tensor) == kind


@pytest.mark.parametrize(
    ("tensors", "config", "serve", "why"),
    [
        ({"model.layers.0.memory.weight": 1}, CONFIG, {}, "memory.weight"),
        ({"lm_head.weight": 1}, {"text_config": {**TEXT, "vocab_size": None}}, {}, "vocab_size"),
        ({"lm_head.weight": 1}, CONFIG, {"speculative-config": {"method": "mtp"}}, "speculative"),
        ({"lm_head.weight": 1}, CONFIG, {"mamba-ssm-cache-dtype": "fp4"}, "fp4"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    tensors: dict[str, int], config: dict[str, Any], serve: dict[str, Any], why: str
) -> None:
    with pytest.raises(UnaccountableError, match=why):
        bytes_per_token(tensors, config, serve=serve, context_tokens=1)


def test_the_small_models_files_are_read_and_all_of_it_is_known() -> None:
    tensors = tensor_bytes([TINY / "model.safetensors"])
    config = json.loads((TINY / "config.json").read_bytes())
    found = bytes_per_token(tensors, config, serve={"max-model-len": 2048}, context_tokens=50)
    text = sum(size for name, size in tensors.items() if ".visual." not in name)
    routed = sum(size for name, size in tensors.items() if ".experts." in name)
    assert found["routed_experts"] == routed * 2 // 8
    caches = found["gdn_state"] + found["kv_cache"]
    embedding = tensors["model.language_model.embed_tokens.weight"]
    assert found["total"] - caches == text - routed + routed // 4 - embedding + found["embedding_row"]


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    for content in (b"", b"short", struct.pack("<Q", 2**60), struct.pack("<Q", 12) + b'{"a": "b"}  '):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            tensor_bytes([file])


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    header = b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}'
    files = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    for file in files:
        file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0")
    assert tensor_bytes(files[:1]) == {"a": 1}
    with pytest.raises(ValueError, match="another file"):
        tensor_bytes(files)
