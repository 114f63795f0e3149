"""Switches of a profile: contested features of the engine, each with all the options that it needs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from thorctl import schema


class Switches(schema.Model):
    """Off unless a profile says otherwise. facts: what is known of each stands beside it."""

    mtp: bool = Field(
        default=False,
        description="Speculate with the checkpoint's own MTP head, one token ahead. The head may be missing "
        "from a fine-tune (`thorctl checkpoint audit` says so), and was not trained with it.",
    )
    fp8_kv_cache: bool = Field(
        default=False,
        description="Half the cache's memory. Only 10 of 40 layers have one; needs another attention "
        "backend, and met illegal memory accesses with FlashInfer on this GPU (vllm #55406).",
    )
    eager: bool = Field(
        default=False,
        description="No CUDA graphs: ten times slower, and the way around a fault in their replay.",
    )


# What each switch sets in serve.yaml.
OPTIONS: dict[str, dict[str, Any]] = {
    # The draft's experts are BF16: without a backend of its own it takes over the target's or, on sm_110,
    # FlashInfer's, which has no kernel for it (vllm #56832, #40808).
    "mtp": {"speculative-config": {"method": "mtp", "num_speculative_tokens": 1, "moe_backend": "triton"}},
    # FlashAttention 2, the default on sm_110, has no FP8 cache; FlashInfer is the one of vllm #55406.
    "fp8_kv_cache": {"kv-cache-dtype": "fp8", "attention-backend": "TRITON_ATTN"},
    "eager": {"enforce-eager": True},
}


def options(serve: dict[str, Any], switches: Switches) -> dict[str, Any]:
    """``serve`` with what the switches add.

    Raises:
        WrongKeyError: the profile sets such an option itself, to something else.
    """
    result = dict(serve)
    for switch, added in OPTIONS.items():
        if not getattr(switches, switch):
            continue
        for option, value in added.items():
            if option in serve and serve[option] != value:
                raise schema.WrongKeyError(
                    option, f"{option!r} is what the switch {switch!r} sets; remove it or turn the switch off"
                )
            result[option] = value
    return result
