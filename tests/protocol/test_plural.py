"""Counted nouns, and that the code has no other way of writing them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import thorctl
from thorctl.protocol.plural import counted, form

PACKAGE = Path(thorctl.__file__).parent
# `"s"[: n != 1]`, `"s" if n > 1 else ""`, `"" if n == 1 else "s"`, `(s)` after a count.
BY_HAND = re.compile(r"""(["'])(?:s|es)\1(?:\[:| if )|else (["'])(?:s|es)\2|\}[ ]\w+\(s\)""")


@pytest.mark.parametrize(("count", "words"), [(0, "0 devices"), (1, "1 device"), (2, "2 devices")])
def test_count_and_noun_agree(count: int, words: str) -> None:
    assert counted(count, "device") == words


def test_irregular_plural_and_verb() -> None:
    assert counted(1, "matrix", "matrices") == "1 matrix"
    assert counted(3, "matrix", "matrices") == "3 matrices"
    assert [form(count, "needs", "need") for count in (0, 1, 2)] == ["need", "needs", "need"]


@pytest.mark.parametrize("text", ['{n} x{"s"[: n != 1]}', "'s' if n > 1 else ''", '"" if n == 1 else "s"'])
def test_plural_by_hand_is_recognised(text: str) -> None:
    assert BY_HAND.search(text)


def test_plural_is_written_in_one_place() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if BY_HAND.search(line) and file.name != "plural.py"
    ]
    assert found == []
