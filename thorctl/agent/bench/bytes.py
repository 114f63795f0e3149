"""Compute the bytes that one decode step of one stream reads, from a checkpoint's tensors and config.json.

Decoding one stream is bound by memory: each step reads every weight that takes part once. Bandwidth divided
by bytes is therefore the highest possible rate, and the share that a device reaches measures its kernels. For
Qwen3.5-like mixtures of experts with Gated DeltaNet layers; see docs/explanation/speed.md.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from thorctl.protocol.bench import Roofline

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = (
    "lm_head",
    "gdn_weights",
    "attention",
    "shared_experts",
    "routed_experts",
    "routers",
    "dense_mlp",
    "norms",
    "embedding_row",
    "gdn_state",
    "kv_cache",
)
# The first match in a tensor's name decides; None: not read when text is decoded.
_KINDS: tuple[tuple[str, str | None], ...] = (
    (r"(^|\.)mtp\.", None),
    (r"(^|\.)visual\.|vision_tower\.", None),
    (r"(^|\.)lm_head\.", "lm_head"),
    (r"\.embed_tokens\.", "embedding"),
    (r"\.linear_attn\.", "gdn_weights"),
    (r"\.self_attn\.", "attention"),
    (r"\.mlp\.shared_expert\.", "shared_experts"),
    (r"\.mlp\.experts\.", "routed_experts"),
    (r"\.mlp\.(gate|shared_expert_gate)\.", "routers"),
    (r"\.mlp\.", "dense_mlp"),
    (r"norm\.weight$", "norms"),
)
_COMPILED = tuple((re.compile(pattern), kind) for pattern, kind in _KINDS)
_STATE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class UnaccountableError(ValueError):
    """The bytes of this kind of checkpoint cannot be computed; the message has the reason."""


def kind_of(tensor: str) -> str | None:
    """Return a tensor's kind by its name; None if it is not read when text is decoded.

    Raises:
        UnaccountableError: the name has no known kind; ignoring it would overstate the device's share.
    """
    for pattern, kind in _COMPILED:
        if pattern.search(tensor):
            return kind
    raise UnaccountableError(f"no rule says whether decoding reads the tensor {tensor}")


def bytes_per_token(
    tensors: Mapping[str, int], config: Mapping[str, Any], *, serve: Mapping[str, Any], context_tokens: float
) -> dict[str, int]:
    """Return bytes by part (``PARTS``), and their sum under ``total``.

    Args:
        tensors: name → bytes in the file.
        config: the checkpoint's config.json.
        serve: the options of `vllm serve`; those that change the size of the caches count.
        context_tokens: tokens in the KV cache, on average over the measured steps.

    Raises:
        UnaccountableError: an unknown tensor, a missing value in config.json, or speculative decoding,
            where a step generates more than one token.
    """
    if serve.get("speculative-config"):
        raise UnaccountableError("with speculative decoding a step generates more than one token")
    text = config.get("text_config") or config
    sums = dict.fromkeys([*PARTS, "embedding"], 0)
    for name, size in tensors.items():
        kind = kind_of(name)
        if kind is not None:
            sums[kind] += size
    if sums["routed_experts"]:
        sums["routed_experts"] = round(
            sums["routed_experts"] * _value(text, "num_experts_per_tok") / _value(text, "num_experts")
        )
    embedding = sums.pop("embedding")
    sums["embedding_row"] = round(embedding / _value(text, "vocab_size"))
    if not sums["lm_head"]:
        sums["lm_head"] = embedding  # tied: the logits read the whole embedding
    layers = _layers(text)
    sums["gdn_state"] = layers.count("linear_attention") * 2 * _state_bytes(text, serve)
    sums["kv_cache"] = round(layers.count("full_attention") * context_tokens * _kv_bytes(text, serve))
    return {**sums, "total": sum(sums.values())}


def _layers(text: Mapping[str, Any]) -> list[str]:
    listed = text.get("layer_types")
    if listed:
        return [str(layer) for layer in listed]
    every = text.get("full_attention_interval", 1)
    count = int(_value(text, "num_hidden_layers"))
    return ["linear_attention" if (number + 1) % every else "full_attention" for number in range(count)]


def _state_bytes(text: Mapping[str, Any], serve: Mapping[str, Any]) -> int:
    """Return the bytes of one layer's state and convolution window, which each step reads and writes."""
    if "linear_attention" not in _layers(text):
        return 0
    heads, key_heads = _value(text, "linear_num_value_heads"), _value(text, "linear_num_key_heads")
    key, value = _value(text, "linear_key_head_dim"), _value(text, "linear_value_head_dim")
    wanted = str(serve.get("mamba-ssm-cache-dtype", "auto"))
    dtype = str(text.get("mamba_ssm_dtype", "float32")) if wanted == "auto" else wanted
    if dtype not in _STATE_BYTES:
        raise UnaccountableError(f"the state's type {dtype} is unknown")
    channels = 2 * key_heads * key + heads * value
    window = channels * (_value(text, "linear_conv_kernel_dim") - 1) * _STATE_BYTES["bfloat16"]
    return int(heads * key * value * _STATE_BYTES[dtype] + window)


def _kv_bytes(text: Mapping[str, Any], serve: Mapping[str, Any]) -> int:
    """Return the bytes of one token's keys and values in one layer."""
    width = 1 if str(serve.get("kv-cache-dtype", "auto")).startswith("fp8") else 2
    return int(2 * _value(text, "num_key_value_heads") * _value(text, "head_dim") * width)


def _value(text: Mapping[str, Any], key: str) -> int:
    found = text.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found <= 0:
        raise UnaccountableError(f"config.json has no {key}")
    return found


def share(tokens_per_second: float, total_bytes: int, bandwidth: float | None) -> Roofline:
    """Return the highest rate that ``bandwidth`` (bytes/s) allows, and the reached share of it."""
    if not bandwidth or not math.isfinite(tokens_per_second):
        return Roofline(bandwidth)
    limit = bandwidth / total_bytes
    return Roofline(bandwidth, round(limit, 2), round(tokens_per_second / limit, 4))
