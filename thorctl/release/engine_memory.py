"""Compute an engine's memory from its model's figures and its options: the KV cache for all its contexts.

The cache is computed with vLLM's layout (0.19.1 to 0.32.0: ``v1/core/kv_cache_utils.py``,
``v1/kv_cache_interface.py``, ``platforms/interface.py::_align_hybrid_block_size``):

- Layers with equal caches form groups of equal size. With 30 GDN and 10 attention layers a group has 10
  layers: 3 groups of GDN layers and 1 of attention layers. The last group is padded to the same size.
- One block of the pool serves one group: it holds a page of each of the group's layers. All pages have one
  size. A GDN layer's page is its whole state; the attention block gets as many tokens as fill such a page.
- A request holds ceil(context / block) blocks for each group of attention layers, and one for each group of
  GDN layers, with one more for each speculative token. One block of the pool is never used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.release.model_config import ModelFigures

MIB, GIB = 2**20, 2**30
KV_OPTION = "kv-cache-memory-bytes"
SHARE_OPTION = "gpu-memory-utilization"
BLOCK_TOKENS = 16  # vLLM's default block, of which the blocks of its GPU attention backends are multiples
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}
SPECULATIVE_HEADS = frozenset({"mtp", "qwen3_5_mtp", "qwen3_next_mtp"})

# Cache beyond the need of all contexts: other vLLM versions may choose other block sizes.
HEADROOM_SHARE = 0.1
HEADROOM_MINIMUM = 512 * MIB
# Measured on a GPU (hidden size 2048, 8192 tokens a step, graphs up to 512 tokens): 2.9 GiB beside weights
# and cache, 1.1 GiB of them graphs. The parts below are that; activations grow with tokens and hidden size.
CONTEXT_BYTES = 1 * GIB
GRAPHS_BYTES = int(1.1 * GIB)
GRAPH_TOKENS = 512
ACTIVATION_BYTES = 64  # per token of a step and element of the hidden state
DEFAULT_BATCHED_TOKENS = 8192  # vLLM's default for a server with 70 GiB or more
# API server 0.6 GB, engine core 0.5 GB, worker without its cache 0.6 GB (measured, images/cpu-vllm).
PROCESS_BYTES = 2 * GIB


class NotComputedError(Exception):
    """The memory cannot be computed; the text has the reason, a sentence without its full stop."""


@dataclass(frozen=True, slots=True)
class Cache:
    """The KV cache that holds all contexts at once.

    Attributes:
        block_tokens: tokens of one attention block.
        block_bytes: one block of the pool, with a page for each layer of a group.
        blocks_per_sequence: blocks that one full context holds.
        blocks: blocks of the pool, that for padding included.
        sequences, context_tokens: the contexts that it was computed for.
    """

    block_tokens: int
    block_bytes: int
    blocks_per_sequence: int
    blocks: int
    sequences: int
    context_tokens: int

    @property
    def bytes(self) -> int:
        """The size of the whole pool."""
        return self.blocks * self.block_bytes

    def concurrency(self, given_bytes: int) -> float:
        """Return the full contexts in a pool of ``given_bytes``: vLLM's "maximum concurrency"."""
        return given_bytes // self.block_bytes / self.blocks_per_sequence


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the memory, and the reason for its size."""

    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class Need:
    """The memory of an engine; ``headroom`` is a part of the cache that is given to vLLM.

    ``warning`` reports a profile's own figure that is below the computed one.
    """

    weights: Part
    kv_cache: Part
    headroom: Part
    graphs_and_workspace: Part
    warning: str | None = None

    @property
    def total_bytes(self) -> int:
        """The sum of all parts."""
        return sum(part.bytes for part in self.parts.values())

    @property
    def kv_cache_option(self) -> int:
        """The value of ``kv-cache-memory-bytes``."""
        return self.kv_cache.bytes + self.headroom.bytes

    @property
    def parts(self) -> dict[str, Part]:
        """Return the parts by name, in display order."""
        return {
            "weights": self.weights,
            "kv_cache": self.kv_cache,
            "headroom": self.headroom,
            "graphs_and_workspace": self.graphs_and_workspace,
        }


def share(need_bytes: int, memory_bytes: int) -> float:
    """Return the part of a device's memory that covers ``need_bytes``, rounded up to a hundredth."""
    return -(-100 * need_bytes // memory_bytes) / 100


def needed(
    model: ModelFigures | None, options: Mapping[str, Any], weights_bytes: int, *, on_gpu: bool = True
) -> Need:
    """Return the memory of an engine with these options.

    Args:
        model: None if its figures are unknown; then the options must set the cache's size.
        options: those of serve.yaml. Their own ``kv-cache-memory-bytes`` is kept.
        weights_bytes: size of the checkpoint's safetensors files.
        on_gpu: whether it includes a CUDA context and graphs.

    Raises:
        NotComputedError: with the reason.
    """
    given = option_bytes(options)
    found: Cache | None = None
    try:
        # Block sizes differ on a CPU: there the options always set the cache's size.
        found = cache(model if on_gpu else None, options)
    except NotComputedError:
        if given is None:
            raise
    weights = Part(weights_bytes, "the safetensors files: an upper bound, not every tensor is loaded")
    workspace = _workspace(model, options, on_gpu=on_gpu)
    if found is None or given is not None:
        size = Part(given or 0, f"{KV_OPTION} of the profile")
        none = Part(0, "none, since the profile sets the cache's size")
        return Need(weights, size, none, workspace, _warning(found, given or 0))
    size = Part(
        found.bytes,
        f"{found.sequences} contexts of {found.context_tokens} tokens, {found.blocks_per_sequence} blocks "
        f"each; an attention block has {found.block_tokens} tokens",
    )
    # vLLM uses whole blocks only.
    blocks = math.ceil(max(HEADROOM_SHARE * found.bytes, HEADROOM_MINIMUM) / found.block_bytes)
    headroom = Part(blocks * found.block_bytes, f"{HEADROOM_SHARE:.0%} more cache, for other vLLM versions")
    return Need(weights, size, headroom, workspace)


def cache(model: ModelFigures | None, options: Mapping[str, Any]) -> Cache:
    """Return the cache on a GPU that holds ``max-num-seqs`` contexts of ``max-model-len`` tokens.

    Raises:
        NotComputedError: no figures, or options that change the layout in an unknown way.
    """
    if model is None:
        raise NotComputedError("the model's figures are unknown")
    for option in ("tensor-parallel-size", "pipeline-parallel-size", "decode-context-parallel-size"):
        if options.get(option, 1) != 1:
            raise NotComputedError(f"{option!r} spreads the cache over several devices")
    for option in ("num-gpu-blocks-override", "disable-hybrid-kv-cache-manager", "mamba-block-size"):
        if options.get(option):
            raise NotComputedError(f"{option!r} changes the cache's layout")
    sequences = _count(options, "max-num-seqs", None)
    context = _count(options, "max-model-len", model.context_tokens)
    value_bytes = _value_bytes(options, "dtype", DTYPE_BYTES[model.dtype])
    token_bytes = 2 * model.kv_heads * model.head_dim * _cache_value_bytes(options, value_bytes)
    speculative, extra_layers = _speculation(model, options)
    attention = model.attention_layers + extra_layers
    block = _count(options, "block-size", BLOCK_TOKENS)
    if model.gdn is None:
        per_sequence = math.ceil(context / block)
        return Cache(
            block,
            attention * block * token_bytes,
            per_sequence,
            sequences * per_sequence + 1,
            sequences,
            context,
        )
    step = max(block, BLOCK_TOKENS)
    state_bytes = _gdn_state_bytes(model, options, value_bytes, speculative)
    block = max(block, step * math.ceil(state_bytes / (step * token_bytes)))
    size, attention_groups, gdn_groups = groups(attention, model.gdn.layers)
    states = 1 + speculative + _prefix_states(options)
    per_sequence = attention_groups * math.ceil(context / block) + gdn_groups * states
    return Cache(
        block, size * block * token_bytes, per_sequence, sequences * per_sequence + 1, sequences, context
    )


def groups(attention: int, gdn: int) -> tuple[int, int, int]:
    """Return layers of a group, groups of attention layers and groups of GDN layers, as vLLM forms them."""
    fewest, most = sorted((attention, gdn))
    size = most if most < 1.5 * fewest else fewest
    return size, math.ceil(attention / size), math.ceil(gdn / size)


def option_bytes(options: Mapping[str, Any]) -> int | None:
    """Return the options' own ``kv-cache-memory-bytes``; None if unset.

    Raises:
        NotComputedError: it is not a size in vLLM's notation.
    """
    return _count(options, KV_OPTION, 0) or None


def _gdn_state_bytes(
    model: ModelFigures, options: Mapping[str, Any], value_bytes: int, speculative: int
) -> int:
    """Return the bytes of a GDN layer's state per sequence: the convolution's inputs, the recurrent state."""
    gdn = model.gdn
    if gdn is None:
        return 0
    conv_bytes = _value_bytes(options, "mamba-cache-dtype", value_bytes)
    state_bytes = _value_bytes(options, "mamba-ssm-cache-dtype", DTYPE_BYTES[gdn.state_dtype])
    channels = 2 * gdn.key_heads * gdn.key_head_dim + gdn.value_heads * gdn.value_head_dim
    conv = channels * (gdn.conv_kernel - 1 + speculative) * conv_bytes
    return conv + gdn.value_heads * gdn.value_head_dim * gdn.key_head_dim * state_bytes


def _prefix_states(options: Mapping[str, Any]) -> int:
    """Return the states that prefix caching (default in later vLLM) adds per group of GDN layers."""
    mode = options.get("mamba-cache-mode")
    if mode == "all":
        raise NotComputedError("'mamba-cache-mode: all' stores a state for every block")
    return 0 if options.get("no-enable-prefix-caching") else 1


def _speculation(model: ModelFigures, options: Mapping[str, Any]) -> tuple[int, int]:
    """Return speculative tokens and the attention layers that the draft adds."""
    found = options.get("speculative-config")
    if found is None:
        return 0, 0
    method = found.get("method") if isinstance(found, dict) else None
    tokens = found.get("num_speculative_tokens") if isinstance(found, dict) else None
    if method not in SPECULATIVE_HEADS or type(tokens) is not int or not 0 < tokens <= 64:
        raise NotComputedError(
            "'speculative-config' is not MTP with a number of tokens, and a draft has a cache of its own"
        )
    return tokens, max(model.mtp_layers, 1)


def _cache_value_bytes(options: Mapping[str, Any], value_bytes: int) -> int:
    word = str(options.get("kv-cache-dtype", "auto"))
    if word in {"fp8", "fp8_e4m3", "fp8_e5m2"}:
        return 1
    return _value_bytes(options, "kv-cache-dtype", value_bytes)


def _value_bytes(options: Mapping[str, Any], option: str, default: int) -> int:
    word = str(options.get(option, "auto"))
    if word == "auto":
        return default
    if word not in DTYPE_BYTES:
        raise NotComputedError(f"'{option}: {word}' has an unknown size")
    return DTYPE_BYTES[word]


_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _count(options: Mapping[str, Any], option: str, default: int | None) -> int:
    """Return a number in vLLM's notation (``human_readable_int``): 16384, 16k = 16000, 16K = 16384."""
    value = options.get(option, default)
    if value is None:
        raise NotComputedError(f"{option!r} is not set")
    match = re.fullmatch(r"(\d{1,18})(\.\d{1,9})?([kKmMgGtT]?)", str(value).strip())
    if not match or isinstance(value, bool) or (match[2] and not match[3].islower()):
        raise NotComputedError(f"'{option}: {value}' is not a number that is known before the start")
    number = int(float(match[1] + (match[2] or "")) * _SUFFIXES[match[3]]) if match[2] else 0
    number = number or int(match[1]) * _SUFFIXES.get(match[3], 1)
    if number < 1 and option != KV_OPTION:
        raise NotComputedError(f"'{option}: {value}' is not a number that is known before the start")
    return number


def _warning(found: Cache | None, given: int) -> str | None:
    if found is None or given >= found.bytes:
        return None
    return (
        f"{KV_OPTION} is {given}; {found.sequences} contexts of {found.context_tokens} tokens need "
        f"{found.bytes}: {found.concurrency(given):.1f} fit at once, further requests wait"
    )


def _workspace(model: ModelFigures | None, options: Mapping[str, Any], *, on_gpu: bool) -> Part:
    if not on_gpu:
        return Part(PROCESS_BYTES, "the engine's processes")
    tokens = _count(options, "max-num-batched-tokens", DEFAULT_BATCHED_TOKENS)
    activations = tokens * model.hidden_size * ACTIVATION_BYTES if model else GIB
    size = CONTEXT_BYTES + activations + PROCESS_BYTES
    why = f"CUDA context, activations of {tokens} tokens, the engine's processes in the same memory"
    if options.get("enforce-eager"):
        return Part(size, why)
    captured = _count(options, "max-cudagraph-capture-size", GRAPH_TOKENS)
    graphs = math.ceil(GRAPHS_BYTES * max(captured, GRAPH_TOKENS) / GRAPH_TOKENS)
    return Part(size + graphs, f"{why}, CUDA graphs up to {captured} tokens")
