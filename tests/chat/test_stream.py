"""Server-sent events to thinking and answer, wherever the pieces break."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thorctl.chat.stream import Answer, ChatStream, StreamError, Thinking
from thorctl.protocol.think_tags import ThinkTags


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> str:
    chunk = {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    return f"data: {json.dumps(chunk)}\n\n"


WHOLE = (
    event({"role": "assistant", "content": ""})
    + event({"reasoning": "Let me "})
    + event({"reasoning": "think — ß."})
    + event({"content": "Paris"})
    + event({"content": "."})
    + event({}, "stop")
    + f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': 5}})}\n\n"
    + "data: [DONE]\n\n"
)


def read(*pieces: str) -> ChatStream:
    stream = ChatStream()
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return stream


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=30))
def test_it_does_not_matter_where_the_pieces_break(cuts: list[int]) -> None:
    places = [0, *sorted(set(cuts)), len(WHOLE)]
    stream = read(*(WHOLE[a:b] for a, b in pairwise(places)))
    assert (stream.thinking, stream.answer, stream.error) == ("Let me think — ß.", "Paris.", None)
    assert (stream.usage, stream.finish_reason) == ({"completion_tokens": 5}, "stop")


def test_events_come_in_order_and_apart() -> None:
    assert ChatStream().feed(WHOLE) == [
        Thinking("Let me "),
        Thinking("think — ß."),
        Answer("Paris"),
        Answer("."),
    ]


def test_carriage_returns_comments_and_many_lines_of_data() -> None:
    text = ': ping\r\n\r\nevent: x\r\ndata: {"choices": [{"delta":\r\ndata: {"content": "Hi"}}]}\r\n\r\n'
    assert ChatStream().feed(text) == [Answer("Hi")]


def test_the_older_name_of_thinking() -> None:
    assert ChatStream().feed(event({"reasoning_content": "Hm"})) == [Thinking("Hm")]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n',
            "engine_error",
            "EngineCore died",
        ),
        ('data: {"error": "plain words"}\n\n', "engine_error", "plain words"),
        ('data: {"object": "error", "message": "old shape"}\n\n', "engine_error", "old shape"),
        ("data: {oops\n\n", "stream_garbage", "oops"),
        ("data: [1]\n\n", "stream_garbage", "[1]"),
        ('data: {"choices": ["x"]}\n\n', "stream_garbage", "choices"),
        ('data: {"choices": [{"delta": {"content": 7}}]}\n\n', "stream_garbage", "7"),
        ("", "stream_cut", "finish"),
        (event({"content": "Par"}), "stream_cut", "finish"),
        (event({"content": "Paris."}, "stop"), "stream_cut", "DONE"),
        ("data: [DONE]\n\n", "stream_cut", "finish"),
        (event({"content": "Par"}) + 'data: {"cho', "stream_cut", "end"),
    ],
)
def test_a_failing_stream_is_an_error(text: str, code: str, words: str) -> None:
    error = read(text).error
    assert error is not None
    assert (error.code, words in error.message) == (code, True)


def test_nothing_counts_after_an_error() -> None:
    stream = ChatStream()
    events = stream.feed('data: {"error": "x"}\n\n' + event({"content": "more"}))
    assert events == [StreamError("engine_error", "x")]
    assert stream.answer == ""


@given(st.lists(st.integers(1, 40), max_size=12))
def test_think_tags_in_the_content_are_taken_out(cuts: list[int]) -> None:
    text = "\n<think>\nIt is < 3.\n</think>\n\nIt is 2."
    places = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    tags, thinking, answer = ThinkTags(), "", ""
    for a, b in pairwise(places):
        for is_thinking, piece in tags.feed(text[a:b]):
            thinking, answer = (thinking + piece, answer) if is_thinking else (thinking, answer + piece)
    assert (thinking, answer, tags.flush()) == ("\nIt is < 3.\n", "\n\nIt is 2.", [])


@pytest.mark.parametrize("text", ["2 < 3", "<th", "See <think> in the manual", "<thinking>"])
def test_text_that_only_looks_like_a_tag_stays_the_answer(text: str) -> None:
    tags = ThinkTags()
    assert [*tags.feed(text), *tags.flush()] == [(False, text)]


def test_thinking_that_never_ends_is_all_thinking() -> None:
    tags = ThinkTags()
    pieces = [*tags.feed("<think>on and on </thi"), *tags.flush()]
    assert "".join(text for _, text in pieces) == "on and on </thi"
    assert all(is_thinking for is_thinking, _ in pieces)


def test_an_aborted_answer_is_an_error() -> None:
    """A planned stop of the engine ends the stream with HTTP 200, `abort` and [DONE]."""
    stream = read(event({"content": "Par"}), event({}, "abort"), "data: [DONE]\n\n")
    assert stream.error == StreamError(
        "engine_aborted", "The engine stopped before the answer was complete (abort)."
    )
