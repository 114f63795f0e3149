"""Read the figures that a model's memory depends on from a checkpoint's ``config.json``.

The file is untrusted: size, syntax and types are checked before anything is used. Keys are those of
transformers' configuration classes, as are the defaults below.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from thorctl.errors import ThorError
from thorctl.files import schema

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
MAX_CONFIG_BYTES = 2**20  # a large quantization section has some 100 kB
MAX_NUMBER = 2**31  # above any dimension, count or length of a model
MAX_LAYERS = 4096

Dtype = Literal["bfloat16", "float16", "float32"]

# Text models with plain attention in every layer, and those whose other layers are GDN layers.
PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"})
GDN = frozenset({"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"})
# Kinds of rope for which `max_position_embeddings` is that of the scaled model.
_ROPE_SCALED = frozenset({"su", "longrope", "llama3", "deepseek_yarn", "deepseek_llama_scaling"})
_GDN_INTERVAL = 4  # full_attention_interval: every fourth layer is full attention


class Gdn(schema.Model):
    """Gated DeltaNet layers: a state of fixed size instead of a cache that grows with the context."""

    layers: int = Field(gt=0, le=MAX_LAYERS)
    key_heads: int = Field(gt=0, lt=MAX_NUMBER)
    value_heads: int = Field(gt=0, lt=MAX_NUMBER)
    key_head_dim: int = Field(gt=0, lt=MAX_NUMBER)
    value_head_dim: int = Field(gt=0, lt=MAX_NUMBER)
    conv_kernel: int = Field(gt=0, le=64)
    state_dtype: Dtype = Field(description="Of the recurrent state: `mamba_ssm_dtype`, else the model's.")


class ModelFigures(schema.Model):
    """The figures that a model's KV cache and workspace depend on."""

    model_type: str = Field(min_length=1, max_length=64, description="Of the text model.")
    dtype: Dtype
    attention_layers: int = Field(gt=0, le=MAX_LAYERS, description="Layers with a cache for every token.")
    kv_heads: int = Field(gt=0, lt=MAX_NUMBER)
    head_dim: int = Field(gt=0, lt=MAX_NUMBER)
    hidden_size: int = Field(gt=0, lt=MAX_NUMBER)
    context_tokens: int = Field(
        gt=0, lt=MAX_NUMBER, description="`max_position_embeddings`, times a rope factor."
    )
    mtp_layers: int = Field(ge=0, le=64, description="Layers of the MTP head, by the configuration.")
    gdn: Gdn | None = Field(default=None, description="null: every layer is an attention layer.")


class UnknownModel(schema.Model):
    """A model whose cache thorctl cannot compute."""

    reason: str = Field(min_length=1, max_length=300, description="A sentence without its full stop.")


def read(path: Path) -> ModelFigures | UnknownModel:
    """Read the figures from ``config.json``.

    Raises:
        ThorError: ``model_config_invalid`` for a file that is too large, not a JSON object, or lacks a key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return UnknownModel(reason=f"the checkpoint has no {CONFIG} among its small files")
    if len(content) > MAX_CONFIG_BYTES:
        raise invalid(f"has more than {MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid("is not JSON") from error
    if not isinstance(document, dict):
        raise invalid("is not a JSON object")
    return figures(document)


def figures(document: dict[str, Any]) -> ModelFigures | UnknownModel:
    """Return the figures of a parsed ``config.json``.

    Raises:
        ThorError: ``model_config_invalid`` if a known model lacks a key or has another type there.
    """
    text = document.get("text_config", document)
    if not isinstance(text, dict):
        raise invalid("has a `text_config` that is not an object")
    kind = text.get("model_type")
    if kind not in PLAIN | GDN:
        named = f"model type {kind[:64]!r}" if isinstance(kind, str) else "no model type"
        return UnknownModel(reason=f"{CONFIG} names {named}, whose cache thorctl cannot compute")
    if text.get("sliding_window") is not None and text.get("use_sliding_window") is not False:
        return UnknownModel(reason=f"{CONFIG} sets a sliding window, whose cache thorctl cannot compute")
    heads, hidden = _number(text, "num_attention_heads"), _number(text, "hidden_size")
    dtype = _dtype(text, document)
    types = _layer_types(text, kind)
    known = {"full_attention", "linear_attention"} if kind in GDN else {"full_attention"}
    if others := sorted(set(types) - known):
        return UnknownModel(reason=f"{CONFIG} has layers of the unknown type {others[0][:64]!r}")
    gdn = None
    if linear := types.count("linear_attention"):
        gdn = Gdn(
            layers=linear,
            key_heads=_number(text, "linear_num_key_heads"),
            value_heads=_number(text, "linear_num_value_heads"),
            key_head_dim=_number(text, "linear_key_head_dim"),
            value_head_dim=_number(text, "linear_value_head_dim"),
            conv_kernel=_number(text, "linear_conv_kernel_dim", most=64),
            state_dtype=_one_of(text, "mamba_ssm_dtype", dtype),
        )
    return ModelFigures(
        model_type=kind,
        dtype=dtype,
        attention_layers=types.count("full_attention"),
        kv_heads=_number(text, "num_key_value_heads", heads),
        head_dim=_number(text, "head_dim", max(hidden // heads, 1)),
        hidden_size=hidden,
        context_tokens=_context(text),
        mtp_layers=_number(text, "mtp_num_hidden_layers", 0, least=0, most=64),
        gdn=gdn,
    )


def invalid(what: str) -> ThorError:
    """Return the error for an unusable configuration."""
    return ThorError(
        "model_config_invalid",
        f"The checkpoint's {CONFIG} {what}.",
        "Compare it with the original repository's: vLLM reads the same file at its start.",
    )


def _layer_types(text: dict[str, Any], kind: str) -> list[str]:
    layers = _number(text, "num_hidden_layers", most=MAX_LAYERS)
    found = text.get("layer_types")
    if found is None:
        interval = _number(text, "full_attention_interval", _GDN_INTERVAL) if kind in GDN else 1
        found = ["linear_attention" if (n + 1) % interval else "full_attention" for n in range(layers)]
    if not isinstance(found, list) or len(found) != layers or not all(isinstance(one, str) for one in found):
        raise invalid(f"has a `layer_types` that is not a list of {layers} names")
    if "full_attention" not in found:
        raise invalid("has no layer with full attention")
    return found


def _context(text: dict[str, Any]) -> int:
    """Return the context length as vLLM's ``_get_and_verify_max_len``: some rope kinds include the factor."""
    tokens = _number(text, "max_position_embeddings")
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    kind = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None
    if not isinstance(rope, dict) or kind in _ROPE_SCALED:
        return tokens
    factor = rope.get("factor", 1)
    if type(factor) not in {int, float} or not 1 <= factor <= MAX_NUMBER / tokens:
        return tokens
    # For yarn 0.19 multiplies the length before the scaling, 0.32 uses the length unchanged.
    before = rope.get("original_max_position_embeddings") if kind == "yarn" else tokens
    return max(tokens, int(before * factor)) if type(before) is int else tokens


def _number(
    text: dict[str, Any], key: str, default: int | None = None, *, least: int = 1, most: int = MAX_NUMBER - 1
) -> int:
    value = text.get(key)
    if value is None:
        value = default
    if type(value) is not int or not least <= value <= most:
        shown = "nothing" if value is None else repr(value)[:40]
        raise invalid(f"has {shown} as `{key}`, where an integer from {least} to {most} is required")
    return value


def _dtype(text: dict[str, Any], document: dict[str, Any]) -> Dtype:
    # transformers 5 writes `dtype`, earlier ones `torch_dtype`; vLLM's default is float32.
    for place in (text, document):
        for key in ("dtype", "torch_dtype"):
            if place.get(key) is not None:
                return _one_of(place, key, "float32")
    return "float32"


def _one_of(text: dict[str, Any], key: str, default: Dtype) -> Dtype:
    match text.get(key):
        case None:
            return default
        case "bfloat16":
            return "bfloat16"
        case "float16":
            return "float16"
        case "float32":
            return "float32"
        case other:
            raise invalid(f"has {repr(other)[:40]} as `{key}`, not bfloat16, float16 or float32")
