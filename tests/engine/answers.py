"""Answers of a model, drawn: text, calls in every notation, broken calls, tags in the wrong places."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import strategies as st

from tests.engine.test_notations import NOTATIONS, TEXTS

# Pieces of the notation itself: what random text would never hit.
SCRAPS = [
    "<tool_use", '<tool_use name="Read"', ' name="Read" id="toolu_01"', ">", "/>", "</tool_use>",
    "</tool_use >", "<tool_call>", "</tool_call>", "<function=Read>", "</function>", "<parameter=limit>",
    '<parameter name="limit">', "</parameter>", "<name>", "</name>", "<input>", "</input>", "<think>",
    "</think>", "{", "}", '{"a": 1}', '{"a": "', '"', '\\"', "\\", "```json\n", "```", "\n", " ", "<", "</",
    "ä", "\N{SNOWMAN}", "word", "'",
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(SCRAPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
arguments = st.dictionaries(st.text(max_size=8), values, max_size=3)
names = st.from_regex(r"[A-Za-z_][\w-]{0,20}", fullmatch=True)


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A block as the model was trained to write it, with any arguments."""
    body = json.dumps(
        draw(arguments), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2]))
    )
    return f'<tool_use name="{draw(names)}" id="toolu_{draw(st.integers(0, 3)):02d}">\n{body}\n</tool_use>'


parts = (
    calls()
    | st.sampled_from([text for text, _ in NOTATIONS.values()])
    | st.sampled_from(list(TEXTS.values()))
    | st.sampled_from(SCRAPS)
    | st.text(max_size=12)
)
answers = st.lists(parts, max_size=10).map("".join)


@st.composite
def cut(draw: st.DrawFn, source: st.SearchStrategy[str] = answers) -> tuple[str, list[str]]:
    """An answer, and the same in pieces."""
    whole = draw(source)
    places = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=20))) if whole else []
    ends = [0, *places, len(whole)]
    return whole, [whole[start:end] for start, end in pairwise(ends)]
