"""Switches of a profile: experimental features of the engine, each with all its options."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from thorctl.files import schema


class Switches(schema.Model):
    """All off by default."""

    mtp: bool | Literal[1, 3] = Field(
        default=False,
        description="Speculate with the checkpoint's own MTP head, 1 (true) or 3 tokens ahead. Takes 1.6 GiB "
        "of weights and 1.7 or 4 GiB of cache; requests with `min_p` or `logit_bias` are answered with 400. "
        "The head may be missing in a fine-tuned model (see `thorctl checkpoint audit`), and was not "
        "trained with it.",
    )
    fp8_kv_cache: bool = Field(
        default=False,
        description="Halve the cache's memory. Only 10 of 40 layers have one; needs another attention "
        "backend, and had illegal memory accesses with FlashInfer on this GPU (vllm #55406).",
    )
    eager: bool = Field(
        default=False,
        description="No CUDA graphs: ten times slower, and a workaround for a fault in their replay.",
    )


DEPTH = "num_speculative_tokens"  # the switch's own value: 1 (true) or 3
# The options of each switch in serve.yaml.
OPTIONS: dict[str, dict[str, Any]] = {
    # The draft's experts are BF16: without its own backend it would use the target's or, on sm_110,
    # FlashInfer's, which has no kernel for it (vllm #56832, #40808).
    "mtp": {"speculative-config": {"method": "mtp", "num_speculative_tokens": 1, "moe_backend": "triton"}},
    # FlashAttention 2, the default on sm_110, has no FP8 cache; FlashInfer is the one of vllm #55406.
    "fp8_kv_cache": {"kv-cache-dtype": "fp8", "attention-backend": "TRITON_ATTN"},
    "eager": {"enforce-eager": True},
}


def options(serve: dict[str, Any], switches: Switches) -> dict[str, Any]:
    """Return ``serve`` with the options of the switches.

    Raises:
        WrongKeyError: the profile sets such an option to another value.
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
                    option, f"{option!r} is set by the switch {switch!r}; remove it or turn the switch off"
                )
            result[option] = value
    return result
