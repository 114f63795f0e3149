"""A model's figures from config.json, a document from outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.documents import QWABLE
from thorctl.errors import ThorError
from thorctl.release.model_config import MAX_CONFIG_BYTES, ModelFigures, UnknownModel, figures, read

if TYPE_CHECKING:
    from pathlib import Path

# config.json of the full-size model, what is read of it.
FULL: dict[str, Any] = {
    "architectures": ["Qwen3_5MoeForConditionalGeneration"],
    "model_type": "qwen3_5_moe",
    "text_config": {
        "model_type": "qwen3_5_moe_text",
        "dtype": "bfloat16",
        "hidden_size": 2048,
        "num_hidden_layers": 40,
        "full_attention_interval": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "mamba_ssm_dtype": "float32",
        "mtp_num_hidden_layers": 1,
        "max_position_embeddings": 262144,
    },
}
DENSE: dict[str, Any] = {
    "model_type": "qwen3",
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "sliding_window": None,
}


def text(**keys: Any) -> dict[str, Any]:
    return {**FULL, "text_config": {**FULL["text_config"], **keys}}


def test_full_size_model() -> None:
    assert figures(FULL) == QWABLE


def test_layers_are_counted_by_their_kind() -> None:
    kinds = ["linear_attention"] * 5 + ["full_attention"] * 3
    found = figures(text(num_hidden_layers=8, layer_types=kinds))
    assert isinstance(found, ModelFigures)
    assert found.gdn is not None
    assert (found.attention_layers, found.gdn.layers) == (3, 5)


def test_dense_model_has_transformers_defaults() -> None:
    found = figures({**DENSE, "head_dim": None, "num_key_value_heads": None})
    assert isinstance(found, ModelFigures)
    assert (found.attention_layers, found.kv_heads, found.head_dim, found.gdn) == (36, 32, 128, None)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"model_type": "gemma3"},
        {"model_type": 7},
        {"model_type": "deepseek_v3", "kv_lora_rank": 512},
        {**DENSE, "sliding_window": 4096},
        {**DENSE, "layer_types": ["full_attention", "sliding_attention"] * 18},
        text(model_type="qwen9_text"),
    ],
)
def test_other_models_are_unknown_with_a_reason(document: dict[str, Any]) -> None:
    found = figures(document)
    assert isinstance(found, UnknownModel)
    assert found.reason.startswith("config.json")


def test_sliding_window_that_is_not_used_does_not_count() -> None:
    assert isinstance(figures({**DENSE, "sliding_window": 4096, "use_sliding_window": False}), ModelFigures)


WRONG: dict[str, Any] = {
    "text as a list": {**FULL, "text_config": []},
    "text of null": {**FULL, "text_config": None},
    "layers as text": text(num_hidden_layers="40"),
    "layers as a truth": text(num_hidden_layers=True),
    "no layers": text(num_hidden_layers=0),
    "layers without end": text(num_hidden_layers=10**9),
    "a number of 400 digits": text(num_key_value_heads=10**400),
    "heads as a float": text(num_attention_heads=16.0),
    "negative": text(head_dim=-256),
    "missing": {"model_type": "llama"},
    "kinds for other layers": text(layer_types=["full_attention"]),
    "kinds as an object": text(layer_types={"0": "full_attention"}),
    "kinds of numbers": text(layer_types=[1] * 40),
    "no full attention": text(layer_types=["linear_attention"] * 40),
    "a dtype of nobody": text(dtype="float4"),
    "a dtype as a list": text(dtype=["bfloat16"]),
    "state as a number": text(mamba_ssm_dtype=32),
    "a kernel without end": text(linear_conv_kernel_dim=10**6),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_form_is_a_named_error(name: str) -> None:
    with pytest.raises(ThorError) as caught:
        figures(WRONG[name])
    assert caught.value.code == "model_config_invalid"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe{}", b"[" * 100_000, b'{"a": "' + b"x" * MAX_CONFIG_BYTES + b'"}'],
)
def test_a_file_that_is_no_configuration_is_a_named_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ThorError) as caught:
        read(path)
    assert caught.value.code == "model_config_invalid"


def test_a_file_is_read_and_an_absent_one_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert isinstance(read(path), UnknownModel)
    path.write_text(json.dumps(FULL))
    assert read(path) == QWABLE
