"""The committed checkpoint: shapes, sizes, names, token ids. Only the files' headers are read, no torch."""

from __future__ import annotations

import array
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

IMAGE = Path(__file__).resolve().parents[2] / "images" / "tiny-qwable"
MODEL = IMAGE / "model"
BYTES_MAXIMUM = 16 * 1000 * 1000
INFINITE_OR_NAN = 0x7F80  # the exponent bits of BF16, all set


@pytest.fixture
def config() -> dict[str, Any]:
    return json.loads((MODEL / "config.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], int]:
    monkeypatch.syspath_prepend(str(IMAGE))
    return importlib.import_module("recipe.header").read(MODEL / "model.safetensors")  # type: ignore[no-any-return]


def language_shapes(text: dict[str, Any]) -> dict[str, list[int]]:
    """What the configuration says every tensor of the language model must be."""
    width, experts, inner = text["hidden_size"], text["num_experts"], text["moe_intermediate_size"]
    shared, head = text["shared_expert_intermediate_size"], text["head_dim"]
    queries, keys = text["num_attention_heads"] * head, text["num_key_value_heads"] * head
    key = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    values = text["linear_num_value_heads"]
    value = values * text["linear_value_head_dim"]
    shapes = {
        "lm_head.weight": [text["vocab_size"], width],
        "model.language_model.embed_tokens.weight": [text["vocab_size"], width],
        "model.language_model.norm.weight": [width],
    }
    delta = {
        "A_log": [values],
        "dt_bias": [values],
        "conv1d.weight": [2 * key + value, 1, text["linear_conv_kernel_dim"]],
        "in_proj_qkv.weight": [2 * key + value, width],
        "in_proj_z.weight": [value, width],
        "in_proj_a.weight": [values, width],
        "in_proj_b.weight": [values, width],
        "norm.weight": [text["linear_value_head_dim"]],
        "out_proj.weight": [width, value],
    }
    attention = {
        "q_proj.weight": [2 * queries, width],  # twice: the second half gates the output
        "k_proj.weight": [keys, width],
        "v_proj.weight": [keys, width],
        "o_proj.weight": [width, queries],
        "q_norm.weight": [head],
        "k_norm.weight": [head],
    }
    mixture = {
        "gate.weight": [experts, width],
        "experts.gate_up_proj": [experts, 2 * inner, width],
        "experts.down_proj": [experts, width, inner],
        "shared_expert.gate_proj.weight": [shared, width],
        "shared_expert.up_proj.weight": [shared, width],
        "shared_expert.down_proj.weight": [width, shared],
        "shared_expert_gate.weight": [1, width],
    }
    for number, kind in enumerate(text["layer_types"]):
        layer = f"model.language_model.layers.{number}"
        mixer, parts = ("linear_attn", delta) if kind == "linear_attention" else ("self_attn", attention)
        shapes |= {f"{layer}.{mixer}.{name}": shape for name, shape in parts.items()}
        shapes |= {f"{layer}.mlp.{name}": shape for name, shape in mixture.items()}
        shapes |= {f"{layer}.{name}_layernorm.weight": [width] for name in ("input", "post_attention")}
    return shapes


def test_the_architecture_is_the_real_ones(config: dict[str, Any]) -> None:
    text = config["text_config"]
    assert config["architectures"] == ["Qwen3_5MoeForConditionalGeneration"]
    assert text["layer_types"] == ["linear_attention"] * 3 + ["full_attention"]
    assert text["num_experts"] > text["num_experts_per_tok"] >= 2
    assert text["shared_expert_intermediate_size"] > 0
    assert not config["tie_word_embeddings"]


def test_vllm_takes_the_gated_delta_heads_on_a_cpu(config: dict[str, Any]) -> None:
    text = config["text_config"]
    assert (text["linear_key_head_dim"], text["linear_value_head_dim"]) == (128, 128)


def test_every_tensor_has_the_shape_that_the_configuration_gives_it(
    config: dict[str, Any], weights: tuple[dict[str, Any], int]
) -> None:
    found = {name: tensor["shape"] for name, tensor in weights[0].items()}
    assert {name: shape for name, shape in found.items() if not name.startswith("model.visual.")} == (
        language_shapes(config["text_config"])
    )


def test_the_vision_tower_is_there_and_small(weights: tuple[dict[str, Any], int]) -> None:
    tower = {name: tensor for name, tensor in weights[0].items() if name.startswith("model.visual.")}
    size = sum(end - begin for begin, end in (tensor["data_offsets"] for tensor in tower.values()))
    assert 0 < size < 2_000_000


def test_the_weights_are_bf16_whole_and_small_enough(weights: tuple[dict[str, Any], int]) -> None:
    tensors, start = weights
    size = (MODEL / "model.safetensors").stat().st_size
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert start + max(tensor["data_offsets"][1] for tensor in tensors.values()) == size
    assert size <= BYTES_MAXIMUM


def test_no_weight_is_infinite_or_not_a_number(weights: tuple[dict[str, Any], int]) -> None:
    values = array.array("H", (MODEL / "model.safetensors").read_bytes()[weights[1] :])
    assert not any(value & INFINITE_OR_NAN == INFINITE_OR_NAN for value in set(values))


def test_token_ids_agree(config: dict[str, Any]) -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token for token in tokenizer["added_tokens"]}
    ids = {content: token["id"] for content, token in added.items()}
    ends = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))
    assert max(tokenizer["model"]["vocab"].values()) + 1 == config["text_config"]["vocab_size"]
    assert ends["eos_token_id"] == [ids["<|im_end|>"], ids["<|endoftext|>"]]
    assert config["text_config"]["eos_token_id"] == ids["<|im_end|>"]
    assert config["image_token_id"] == ids["<|image_pad|>"]
    assert config["video_token_id"] == ids["<|video_pad|>"]
    assert not added["<think>"]["special"]
    assert not added["</think>"]["special"]
    assert added["<|im_end|>"]["special"]


def test_the_tokenizer_knows_every_byte() -> None:
    vocabulary = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert sum(len(token) == 1 for token in vocabulary) == 256
