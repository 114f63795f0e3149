"""Values that people write for options of `vllm serve`, good and bad; what vLLM says of each is asked."""

from __future__ import annotations

from typing import Any

MTP = {"method": "mtp", "num_speculative_tokens": 1}
# Option to values. Each is tried alone, beside what every profile has.
VALUES: dict[str, list[Any]] = {
    "max-num-seqs": [4, "4", "three", 3.5, 0, -1, 4.0, "4k", "1_0", " 7 "],
    "max-model-len": [
        16,
        "auto",
        "AUTO",
        -1,
        "1k",
        "1K",
        "0.5k",
        "1.5K",
        -5,
        -2,
        "long",
        2.5,
        16384,
        20000,
        "100k",
    ],
    "max-num-batched-tokens": [4096, "4k", "4K", 0, -1, "many", 1],
    "kv-cache-memory-bytes": [1073741824, "1G", "8g", "1.5g", "1.5G", "big"],
    "gpu-memory-utilization": [0.5, 1, "0.3", 0, -0.1, 1.5, "half"],
    "tensor-parallel-size": [1, "one", 0.5],
    "max-logprobs": [5, -1, "five"],
    "seed": [1, "x"],
    "stream-interval": [2, 0, "x"],
    "shutdown-timeout": [60, -1, "x"],
    "max-cudagraph-capture-size": [64, "x", 1.5],
    "cudagraph-capture-sizes": [[1, 2, 4], [1, "two"], 8],
    "dtype": ["bfloat16", "bf16", "int8"],
    "kv-cache-dtype": ["auto", "fp9"],
    "tokenizer-mode": ["auto", "quick"],
    "load-format": ["auto", "safetensors"],
    "moe-backend": ["auto", "triton", "Triton", "cuda"],
    "chat-template-content-format": ["auto", "xml"],
    "uvicorn-log-level": ["info", "loud"],
    "scheduling-policy": ["priority", "best"],
    "attention-backend": ["TRITON_ATTN", "triton_attn", "FAST_ATTN"],
    "reasoning-parser": ["qwen3", "qwen4", "Qwen3"],
    "tool-call-parser": ["hermes"],
    "compilation-config": [
        {"mode": 3},
        '{"mode": 3}',
        3,
        "3",
        [3],
        {"cudagraph_mode": "NONE"},
        {"backend": 3},
    ],
    "speculative-config": [3, "mtp", "3", "[1]"],
    "hf-overrides": [{"tie_word_embeddings": False}, '{"tie_word_embeddings": false}', 3, "word"],
    "override-generation-config": [{"temperature": 0.6}, '{"temperature": 0.6}', 3, "word", "[1]"],
    "limit-mm-per-prompt": [{"image": 0}, 3, "word"],
    "default-chat-template-kwargs": [{"enable_thinking": True}, '{"enable_thinking": true}', "word"],
    "structured-outputs-config": [{"backend": "auto"}, {"backend": "none"}, 3],
    "kernel-config": [{"moe_backend": "cuda"}, {"moe_backend": "Triton"}, "word"],
    "attention-config": [{"backend": "TRITON_ATTN"}, 3],
    "reasoning-config": [3, "word"],
    "allowed-origins": ['["*"]', "*"],
    "generation-config": ["vllm", "auto"],
    "language-model-only": [True, "true", 1],
    "enable-chunked-prefill": [True, "yes"],
    "served-model-name": [["a", "b"]],
}
# Several options together.
TOGETHER: dict[str, dict[str, Any]] = {
    "tools without a parser": {"enable-auto-tool-choice": True},
    "tools with a parser": {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"},
    "tools with a parser that is none": {"enable-auto-tool-choice": True, "tool-call-parser": "no_such"},
    "fewer tokens than sequences": {"max-num-seqs": 64, "max-num-batched-tokens": 32},
    "as many tokens as sequences": {"max-num-seqs": 32, "max-num-batched-tokens": 32},
    "a prefill in one piece that has no room": {
        "no-enable-chunked-prefill": True, "max-num-batched-tokens": 1024, "max-model-len": 2048,
    },
}  # fmt: skip
BASE = {"max-model-len": 2048, "max-num-seqs": 4, "enforce-eager": True}


def cases() -> dict[str, dict[str, Any]]:
    """Name to all options of a serve.yaml, without the model."""
    alone = {f"{name}: {value!r}": {name: value} for name, values in VALUES.items() for value in values}
    return {name: BASE | options for name, options in (alone | TOGETHER).items()}
