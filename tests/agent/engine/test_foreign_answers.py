"""What an engine, its log or its metrics say, of shapes that no honest one has: an error, no exception."""

from __future__ import annotations

import json

import pytest

from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.bench import result as bench_result
from thorctl.agent.bench.call import QUICK, measurements
from thorctl.agent.engine import last_error
from thorctl.agent.engine.chat_stream import Reply
from thorctl.protocol import foreign_json

DEEP = "[" * 100_000  # Python's reader recurses
NESTED = "[" * 400 + "]" * 400  # whoever writes the value does


@pytest.mark.parametrize(
    "text", [DEEP, NESTED, '{"a":' * 400 + "1" + "}" * 400, "9" * 5000, "9" * 400, "", b"\xff"]
)
def test_a_text_that_python_reads_badly_is_no_value(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        foreign_json.read(text)


@pytest.mark.parametrize("value", [None, 5, -(2**63), 1e300, "x", [], {"a": [{"b": [1, 2.5]}]}])
def test_honest_values_are_read(value: object) -> None:
    assert foreign_json.read(json.dumps(value)) == value


@pytest.mark.parametrize(
    "event",
    [
        DEEP,
        NESTED,
        '{"choices": 5}',
        '{"choices": [5]}',
        '{"choices": [{"delta": 5}]}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"logprobs": [1]}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": []}]}}]}',
    ],
)
def test_an_event_of_another_shape_breaks_the_stream(event: str) -> None:
    reply = Reply()
    reply.read([event, '{"choices": []}'])
    assert reply.error is not None
    assert not reply.ended


def test_a_counter_beyond_all_numbers_is_unknown() -> None:
    assert bench_metrics.total(f"{bench_metrics.RUNNING} 1e999", bench_metrics.RUNNING) is None


def test_a_result_and_a_line_of_the_log_are_read_too() -> None:
    with pytest.raises(bench_result.UnusableError):
        bench_result.read(DEEP, measurements(QUICK)[0])
    found = last_error.find(['{"ok": false, "error": ' + DEEP])
    assert found is not None
    assert found.text.startswith('{"ok": false')
