"""Memory of an engine: vLLM's cache layout against what was measured, and the parts of the need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import QWABLE
from thorctl.release import engine_memory
from thorctl.release.engine_memory import GIB, NotComputedError, cache, groups, needed
from thorctl.release.model_config import ModelFigures, read

# As in deploy/profiles/qwable-v1-nvfp4a16.yml, what the cache depends on.
OPTIONS: dict[str, Any] = {
    "dtype": "bfloat16",
    "max-num-seqs": 16,
    "max-model-len": 16384,
    "max-num-batched-tokens": 8192,
    "max-cudagraph-capture-size": 512,
    "no-enable-prefix-caching": True,
}
DENSE = ModelFigures(
    model_type="qwen3",
    dtype="bfloat16",
    attention_layers=36,
    kv_heads=8,
    head_dim=128,
    hidden_size=4096,
    context_tokens=40960,
    mtp_layers=0,
)


def with_mtp(tokens: int) -> dict[str, Any]:
    return {**OPTIONS, "speculative-config": {"method": "mtp", "num_speculative_tokens": tokens}}


@dataclass(frozen=True)
class Measured:
    """What vLLM 0.20.2 logged on a GPU with the full-size model, 16 sequences of 16384 tokens."""

    options: dict[str, Any]
    block_tokens: int
    cache_gib: float  # as measured, to its last digit
    given_gib: float | None = None
    concurrency: float | None = None


MEASURED = {
    "without MTP": Measured(OPTIONS, 1056, 6.14),
    "MTP depth 1": Measured(with_mtp(1), 1056, 7.8, 12.29, 25.18),
    "MTP depth 3": Measured(with_mtp(3), 1072, 10.1, 12.29, 19.50),
}


@pytest.mark.parametrize("name", MEASURED)
def test_cache_is_what_was_measured(name: str) -> None:
    measured = MEASURED[name]
    found = cache(QWABLE, measured.options)
    assert found.block_tokens == measured.block_tokens
    digits = len(str(measured.cache_gib).partition(".")[2])
    assert round(found.bytes / GIB, digits) == measured.cache_gib
    if measured.given_gib is not None:
        assert round(found.concurrency(int(measured.given_gib * GIB)), 2) == measured.concurrency


def test_cache_of_sixteen_contexts_holds_the_measured_tokens() -> None:
    found = cache(QWABLE, OPTIONS)
    assert found.block_bytes == 21_626_880
    assert found.bytes == (16 * (16 + 3) + 1) * 21_626_880
    concurrency = found.concurrency(found.bytes)
    assert (round(concurrency, 2), int(concurrency * 16384)) == (16.05, 263_006)


def test_whole_need_covers_the_measured_use_of_the_gpu() -> None:
    """30.0 GiB were in use: weights 21.0, cache 6.1, graphs, context and workspace 2.9."""
    need = needed(QWABLE, OPTIONS, 21 * GIB)
    on_gpu = need.graphs_and_workspace.bytes - engine_memory.PROCESS_BYTES
    assert 2.9 <= on_gpu / GIB <= 3.3
    assert 30.0 <= (need.total_bytes - engine_memory.PROCESS_BYTES) / GIB <= 31.5


# vLLM's own page rule (platforms/interface.py), worked out by hand for other models and options.
LAYOUTS: dict[str, tuple[ModelFigures, dict[str, Any], int, int, int]] = {
    # Half the bytes a token, so a block has about twice the tokens: ceil(2,146,304 / (16 × 1,024)).
    "fp8 cache": (QWABLE, {"kv-cache-dtype": "fp8"}, 16 * 131, 10 * 16 * 131 * 1024, 8 + 3),
    "own block size": (QWABLE, {"block-size": 2048}, 2048, 10 * 2048 * 2048, 8 + 3),
    "prefix caching": (QWABLE, {"no-enable-prefix-caching": None}, 1056, 21_626_880, 16 + 6),
    "16-bit state": (QWABLE, {"mamba-ssm-cache-dtype": "float16"}, 16 * 34, 10 * 16 * 34 * 2048, 31 + 3),
    "dense": (DENSE, {}, 16, 36 * 16 * 4096, 1024),
    "dense, blocks of 64": (DENSE, {"block-size": 64}, 64, 36 * 64 * 4096, 256),
    "dense, FP8 cache": (DENSE, {"kv-cache-dtype": "fp8_e4m3"}, 16, 36 * 16 * 2048, 1024),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_other_models_and_options(name: str) -> None:
    model, more, block_tokens, block_bytes, per_sequence = LAYOUTS[name]
    options = {key: value for key, value in {**OPTIONS, **more}.items() if value is not None}
    found = cache(model, options)
    assert (found.block_tokens, found.block_bytes) == (block_tokens, block_bytes)
    assert found.blocks_per_sequence == per_sequence
    assert found.blocks == 16 * per_sequence + 1


@pytest.mark.parametrize(
    ("attention", "gdn", "expected"),
    [
        (10, 30, (10, 1, 3)),
        (11, 30, (11, 1, 3)),  # 3 padding layers
        (13, 12, (13, 1, 1)),  # vLLM pads where the numbers are close
        (12, 36, (12, 1, 3)),
        (36, 12, (12, 3, 1)),
    ],
)
def test_groups_are_formed_as_vllm_forms_them(
    attention: int, gdn: int, expected: tuple[int, int, int]
) -> None:
    assert groups(attention, gdn) == expected


NOT_COMPUTED: dict[str, tuple[dict[str, Any], str]] = {
    "no number of sequences": ({"max-num-seqs": None}, "'max-num-seqs' is not set"),
    "length by memory": ({"max-model-len": "auto"}, "'max-model-len: auto' is not a number"),
    "length of -1": ({"max-model-len": -1}, "'max-model-len: -1' is not a number"),
    "no size": ({"max-num-seqs": True}, "'max-num-seqs: True' is not a number"),
    "several devices": ({"tensor-parallel-size": 2}, "'tensor-parallel-size' spreads"),
    "blocks by hand": ({"num-gpu-blocks-override": 100}, "'num-gpu-blocks-override' changes"),
    "scales in the cache": ({"kv-cache-dtype": "fp8_per_token_head"}, "'kv-cache-dtype: fp8_per_token_head'"),
    "every state kept": ({"mamba-cache-mode": "all"}, "'mamba-cache-mode: all'"),
    "draft model": ({"speculative-config": {"method": "eagle", "num_speculative_tokens": 2}}, "not MTP"),
    "draft as text": ({"speculative-config": '{"method": "mtp"}'}, "not MTP"),
    "no depth": ({"speculative-config": {"method": "mtp"}}, "not MTP"),
}


@pytest.mark.parametrize("name", NOT_COMPUTED)
def test_what_is_not_known_is_not_guessed(name: str) -> None:
    more, reason = NOT_COMPUTED[name]
    options = {key: value for key, value in {**OPTIONS, **more}.items() if value is not None}
    if name == "every state kept":
        del options["no-enable-prefix-caching"]
    with pytest.raises(NotComputedError) as caught:
        needed(QWABLE, options, GIB)
    assert reason in str(caught.value)
    # A cache of the profile's own size needs no computing.
    assert needed(QWABLE, {**options, "kv-cache-memory-bytes": "8G"}, GIB).kv_cache.bytes == 8 * GIB


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [(8589934592, 8 * GIB), ("8G", 8 * GIB), ("8g", 8 * 10**9), ("1.5g", 1_500_000_000), ("512M", GIB // 2)],
)
def test_sizes_are_read_as_vllm_reads_them(written: object, bytes_: int) -> None:
    assert engine_memory.option_bytes({"kv-cache-memory-bytes": written}) == bytes_


@pytest.mark.parametrize("written", ["1.5G", "8 GiB", "much", "-1", True, [8]])
def test_a_size_that_vllm_would_refuse_is_named(written: object) -> None:
    with pytest.raises(NotComputedError, match="kv-cache-memory-bytes"):
        engine_memory.option_bytes({"kv-cache-memory-bytes": written})


def test_own_cache_below_the_need_is_kept_with_a_warning() -> None:
    need = needed(QWABLE, {**OPTIONS, "kv-cache-memory-bytes": "3G"}, GIB)
    assert (need.kv_cache_option, need.headroom.bytes) == (3 * GIB, 0)
    assert need.warning is not None
    assert "7.8 fit at once" in need.warning
    assert needed(QWABLE, {**OPTIONS, "kv-cache-memory-bytes": "7G"}, GIB).warning is None


def test_headroom_is_a_tenth_in_whole_blocks() -> None:
    need = needed(QWABLE, OPTIONS, GIB)
    assert need.headroom.bytes % cache(QWABLE, OPTIONS).block_bytes == 0
    assert 0.1 <= need.headroom.bytes / need.kv_cache.bytes < 0.11
    few = needed(QWABLE, {**OPTIONS, "max-num-seqs": 1, "max-model-len": 1024}, GIB)
    assert few.headroom.bytes >= engine_memory.HEADROOM_MINIMUM


def test_eager_needs_no_graphs() -> None:
    with_graphs, without = (
        needed(QWABLE, {**OPTIONS, "enforce-eager": eager}, GIB).graphs_and_workspace.bytes
        for eager in (False, True)
    )
    assert with_graphs - without == engine_memory.GRAPHS_BYTES


def test_total_is_the_sum_of_the_parts_that_are_shown() -> None:
    need = needed(QWABLE, OPTIONS, 24 * 10**9)
    assert need.total_bytes == sum(part.bytes for part in need.parts.values())
    assert all(part.why for part in need.parts.values())


@pytest.mark.parametrize(("need", "of", "share"), [(30, 100, 0.3), (301, 1000, 0.31), (1, 1000, 0.01)])
def test_share_is_rounded_up_to_a_hundredth(need: int, of: int, share: float) -> None:
    assert engine_memory.share(need, of) == share


def test_layout_is_that_of_vllm_0_32_for_a_small_model() -> None:
    """Logged by vLLM 0.32.0 on a CPU, whose blocks are multiples of 128 tokens, with 1 GiB of cache."""
    tiny = read(Path(__file__).resolve().parents[2] / "images/tiny-qwable/model/config.json")
    assert isinstance(tiny, ModelFigures)
    options = {"max-num-seqs": 4, "max-model-len": 2048, "no-enable-prefix-caching": True, "block-size": 128}
    found = cache(tiny, options)
    concurrency = found.concurrency(GIB)
    assert (found.block_tokens, round(concurrency, 2), int(concurrency * 2048)) == (384, 606.78, 1_242_680)
