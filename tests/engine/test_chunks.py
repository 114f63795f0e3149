"""However an answer is cut into pieces, the same text and the same calls come out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qwable_tool_calls import Call, Reader

from tests.engine.answers import answers, arguments, cut, names
from tests.engine.test_notations import NOTATIONS, SCHEMAS, TEXTS
from tests.support.sequences import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

MANY = settings(max_examples=examples(600))


def joined(found: Iterable[str | Call]) -> list[str | Call]:
    """The same with adjacent texts made one."""
    out: list[str | Call] = []
    for one in found:
        if isinstance(one, str) and out and isinstance(out[-1], str):
            out[-1] += one
        else:
            out.append(one)
    return out


def streamed(pieces: Iterable[str]) -> list[str | Call]:
    reader = Reader(SCHEMAS)
    found = [one for piece in pieces for one in reader.feed(piece)]
    return joined([*found, *reader.finish()])


@MANY
@given(cut())
def test_in_pieces_as_in_one(answer: tuple[str, list[str]]) -> None:
    whole, pieces = answer
    assert streamed(pieces) == streamed([whole])


@MANY
@given(answers)
def test_character_by_character_as_in_one(whole: str) -> None:
    assert streamed(whole) == streamed([whole])


@pytest.mark.parametrize("text", [*(text for text, _ in NOTATIONS.values()), *TEXTS.values()])
def test_each_notation_cut_in_two_anywhere(text: str) -> None:
    whole = f"Look:\n{text}\nThat is it."
    wanted = streamed([whole])
    for at in range(len(whole) + 1):
        assert streamed([whole[:at], whole[at:]]) == wanted, at


@MANY
@given(cut())
@example(("", []))
def test_nothing_is_taken_back_or_invented(answer: tuple[str, list[str]]) -> None:
    """Every word that comes out stands in the answer, in this order."""
    whole, pieces = answer
    at = 0
    for one in streamed(pieces):
        if isinstance(one, str):
            for word in one.split():
                at = whole.index(word, at) + len(word)


@MANY
@given(st.text().filter(lambda text: "<t" not in text))
def test_text_without_a_tag_is_told_as_it_stands(text: str) -> None:
    assert streamed(text) == ([text] if text else [])


@MANY
@given(names, arguments, st.data())
def test_any_arguments_arrive(name: str, given_arguments: dict[str, Any], data: st.DataObject) -> None:
    block = f'<tool_use name="{name}" id="toolu_07">\n{json.dumps(given_arguments)}\n</tool_use>'
    whole, pieces = data.draw(cut(st.just(f"So:\n{block}\n")))
    text, call = streamed(pieces)
    assert text == "So:"
    assert isinstance(call, Call)
    assert (call.name, json.loads(call.arguments), call.id) == (name, given_arguments, "toolu_07")
    assert whole.startswith(str(text))


def test_text_is_told_as_soon_as_it_is_certain() -> None:
    reader = Reader()
    assert reader.feed("I look") == ["I look"]
    assert reader.feed(" at it") == [" at it"]
    assert reader.feed(". <") == ["."]
    assert reader.feed("b> is") == [" <b> is"]
    assert reader.feed(" bold.\n<tool_") == [" bold."]
    assert reader.feed('use name="Read">{}') == []
    assert reader.feed("</tool_use>") == [Call("Read", "{}", None)]
    assert reader.finish() == []


def test_a_long_call_full_of_closing_tags_is_one_call() -> None:
    body = json.dumps({"content": "print('</tool_use>')\n" * 300})
    (call,) = streamed(f'<tool_use name="Write">{body}</tool_use>')
    assert isinstance(call, Call)
    assert json.loads(call.arguments) == json.loads(body)
