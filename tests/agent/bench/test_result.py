"""What is made of the client's result, and of every way in which it is none."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.bench.call import (
    CARD,
    MOST_AT_ONCE,
    PROMPTS,
    QUICK,
    Measurement,
    Sizes,
    checked,
    measurements,
    words,
)
from thorctl.agent.bench.result import UnusableError, read, union
from thorctl.agent.core.outcome import AgentError

SINGLE = Measurement("single", ("a", "a"), tokens=5, at_once=1, warmups=2)
PAIR = Measurement("identical", ("a", "a"), tokens=5, at_once=2, warmups=2)


def result(**changes: Any) -> str:
    """As vLLM 0.32 writes it with --save-detailed, for two requests of five tokens."""
    return json.dumps(
        {
            "completed": 2,
            "failed": 0,
            "errors": ["", ""],
            "output_lens": [5, 5],
            "start_times": [100.0, 100.5],
            "ttfts": [0.5, 0.25],
            "itls": [[0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]],
            "duration": 2.0,
            "total_input_tokens": 20,
            "total_output_tokens": 10,
            "output_throughput": 5.0,
            "mean_tpot_ms": 100.0,
            "mean_ttft_ms": 375.0,
            "median_ttft_ms": 375.0,
            "p99_ttft_ms": 500.0,
            **changes,
        }
    )


def test_one_stream_is_as_fast_as_its_mean_time_per_token() -> None:
    measured = read(result(), SINGLE)
    assert (measured.decode_tokens_per_second, measured.ttft_mean_ms) == (10.0, 375.0)


def test_several_streams_are_as_fast_as_while_one_of_them_decodes() -> None:
    # They decode from 100.5 to 100.9 and from 100.75 to 101.15: eight tokens in 0.65 s.
    assert read(result(), PAIR).decode_tokens_per_second == pytest.approx(8 / 0.65, rel=1e-3)


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([(0.0, 1.0)], 1.0),
        ([(0.0, 1.0), (2.0, 3.0)], 2.0),
        ([(0.0, 2.0), (1.0, 3.0)], 3.0),
        ([(1.0, 3.0), (0.0, 4.0)], 4.0),
        ([(0.0, 1.0), (0.0, 1.0)], 1.0),
    ],
)
def test_overlaps_count_once_and_gaps_do_not(spans: list[tuple[float, float]], length: float) -> None:
    assert union(spans) == pytest.approx(length)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"failed": 1, "completed": 1, "errors": ["", "Traceback:\n  x\nOSError: reset"]},
            "1 of 2.*OSError: reset",
        ),
        ({"errors": ["", "HTTP 500"]}, "1 of 2 requests failed: HTTP 500"),
        ({"completed": 1}, "1 of 2 requests failed"),
        ({"output_lens": [5, 4]}, "should have 5 tokens, but 1 of 2 answers have other lengths \\(4\\)"),
        ({"output_lens": [5, 6]}, "other lengths"),
        ({"output_lens": [5]}, "missing"),
        ({"itls": [[0.1], []]}, "one piece"),
        ({"mean_tpot_ms": 0.0}, "has an unknown form"),
        ({"mean_ttft_ms": 0.0}, "zero or not a number"),
        ({"mean_ttft_ms": float("nan")}, "zero or not a number"),
        ({"start_times": [1.0]}, "has an unknown form"),
        ({"errors": None}, "has an unknown form"),
        ({"duration": "fast"}, "has an unknown form"),
    ],
)
def test_what_is_no_measurement_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UnusableError, match=why):
        read(result(**changes), PAIR if "start_times" in changes else SINGLE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_a_file_that_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(UnusableError):
        read(text, SINGLE)


def test_the_card_is_measured_with_one_stream_and_with_sixteen() -> None:
    single, identical, different = measurements(CARD)
    assert (single.at_once, identical.at_once, different.at_once) == (1, 16, 16)
    assert set(identical.prompts) == {PROMPTS[0]}
    assert set(different.prompts[:16]) == set(PROMPTS)
    assert len(different.prompts) == len(identical.prompts) == 64
    # Warmed at the batch size that is then measured.
    assert (single.warmups, identical.warmups, different.warmups) == (2, 16, 16)
    assert len(set(PROMPTS)) == len(PROMPTS) == MOST_AT_ONCE


def test_no_more_streams_than_the_engine_runs_at_once() -> None:
    assert checked(QUICK, {"max-num-seqs": 4, "max-model-len": 2048}).at_once == 4
    assert checked(QUICK, {}).at_once == 16


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(1, 1, 1, 1),
        Sizes(1800, 1, 1, 1),
        Sizes(32, 0, 1, 1),
        Sizes(32, 1, 0, 1),
        Sizes(32, 1, 1, 17),
        Sizes(32, 1, 1, 0),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes: Sizes) -> None:
    with pytest.raises(AgentError) as caught:
        checked(sizes, {"max-model-len": 2048})
    assert caught.value.code == "bad_call"


def test_the_clients_words_hold_no_secret_and_name_every_size() -> None:
    said = words(measurements(CARD)[1], port=8000, model="m", result="r.json")
    assert said[:3] == ["vllm", "bench", "serve"]
    pairs = dict(pairwise(said))
    assert (pairs["--max-concurrency"], pairs["--num-prompts"], pairs["--sharegpt-output-len"]) == (
        "16",
        "64",
        "256",
    )
    assert "--ignore-eos" in said
    assert pairs["--temperature"] == "0"


def test_the_prompts_are_read_as_conversations() -> None:
    dataset = json.loads(measurements(QUICK)[0].dataset)
    assert [len(entry["conversations"]) for entry in dataset] == [2, 2, 2]


METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
vllm:generation_tokens_total{engine="0",model_name="tiny"} 1.2e+03
vllm:generation_tokens_total{engine="1",model_name="tiny"} 34.0
vllm:generation_tokens_created{engine="0",model_name="tiny"} 1.7e+09
"""


def test_counters_are_summed_over_their_labels() -> None:
    assert bench_metrics.total(METRICS, bench_metrics.RUNNING) == 2
    assert bench_metrics.total(METRICS, bench_metrics.GENERATED) == 1234


@pytest.mark.parametrize("text", [None, "", "vllm:num_requests_running_other 3.0\n"])
def test_a_counter_that_is_not_there_is_unknown(text: str | None) -> None:
    assert bench_metrics.total(text, bench_metrics.RUNNING) is None
