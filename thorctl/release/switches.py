"""Switches of a profile: contested features of the engine, each with all the options that it needs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from thorctl.files import schema


class Switches(schema.Model):
    """Off unless a profile says otherwise. facts: what is known of each stands beside it."""

    mtp: bool | Literal[1, 3] = Field(
        default=False,
        description="Speculate with the checkpoint's own MTP head, 1 (true) or 3 tokens ahead. Costs 1.6 GiB "
        "of weights and 1.7 or 4 GiB of cache; requests with `min_p` or `logit_bias` are answered with 400. "
        "The head may be missing from a fine-tune (`thorctl checkpoint audit` says so), and was not trained "
        "with it.",
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


DEPTH = "num_speculative_tokens"  # the switch's own value: 1 (true) or 3
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
        depth = int(getattr(switches, switch))
        for option, plain in added.items():
            value = {**plain, DEPTH: depth} if isinstance(plain, dict) and DEPTH in plain else plain
            if option in serve and serve[option] != value:
                raise schema.WrongKeyError(
                    option, f"{option!r} is what the switch {switch!r} sets; remove it or turn the switch off"
                )
            result[option] = value
    return result
