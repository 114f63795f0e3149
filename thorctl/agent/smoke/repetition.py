"""Detect a text that loops: one character, word, phrase or line repeated.

A model with damaged weights or kernels answers `!!!!`, or one phrase without end, with HTTP 200 (vllm pull
request 36183, issue 27364). The limits accept prose, tables, rules and code.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Accepted repetitions of one character in a row, by kind.
_LETTERS = 11
_DIGITS = 40
_BRACKETS_AND_BLANKS = 40
_RULE = 120
_OTHER = 3
_RULE_CHARACTERS = frozenset("-=_*#~.|`+:/\\─━═│ \t\n")

_LONGEST_CHARACTER_PERIOD = 64
_CHARACTER_REPEATS = 5
_CHARACTER_SPAN = 30

_LONGEST_WORD_PERIOD = 32
_SAME_WORD = 6
_SAME_PHRASE = 4
_SAME_NUMBERS = 16

_SAME_LINE = 4
# Long thinking repeats "Let me check that again." several times; a looping one has little else.
_SAME_LINE_SHARE = 0.5
_LINE_WORDS = 4

_WINDOW_WORDS = 64
_WINDOW_DISTINCT = 10


def find_repetition(text: str) -> str | None:
    """Describe what is repeated and how often; None if the text does not loop."""
    return (
        _same_character(text)
        or _same_words(text)
        or _same_characters(text)
        or _same_line(text)
        or _few_words(text)
    )


def longest_run(items: Sequence[object], period: int) -> tuple[int, int]:
    """Return (start, length) of the longest stretch that repeats with ``period``; length 0 if there is none.

    The length includes the first period, so it is at least 2 × period if a whole period is repeated.
    """
    best = (0, 0)
    matches = 0
    for position in range(period, len(items)):
        matches = matches + 1 if items[position] == items[position - period] else 0
        if matches >= period and matches + period > best[1]:
            best = (position - matches - period + 1, matches + period)
    return best


def _same_character(text: str) -> str | None:
    for run in re.finditer(r"(.)\1{3,}", text, re.DOTALL):
        character, length = run.group(1), run.end() - run.start()
        if length > _allowed(character):
            return f"{character!r} {length} times in a row"
    bare = "".join(text.split())
    if len(bare) > _OTHER and len(set(bare)) == 1 and not bare.isdigit():
        return f"only {bare[0]!r}, {len(bare)} times"
    return None


def _allowed(character: str) -> int:
    if character in _RULE_CHARACTERS:
        return _RULE
    if character in "()[]{}<>" or character.isspace():
        return _BRACKETS_AND_BLANKS
    if character.isdigit():
        return _DIGITS
    return _LETTERS if character.isalpha() else _OTHER


def _same_words(text: str) -> str | None:
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())
    for period in range(1, min(_LONGEST_WORD_PERIOD, len(words) // 2) + 1):
        start, length = longest_run(words, period)
        phrase = words[start : start + period]
        limit = _SAME_WORD if period == 1 else _SAME_PHRASE
        if all(word.isdigit() for word in phrase):
            limit = _SAME_NUMBERS
        if length // period >= limit:
            return f"{' '.join(phrase)[:80]!r} {length // period} times in a row"
    return None


def _same_characters(text: str) -> str | None:
    for period in range(2, min(_LONGEST_CHARACTER_PERIOD, len(text) // 2) + 1):
        start, length = longest_run(text, period)
        piece = text[start : start + period]
        if not any(character.isalpha() for character in piece):
            limit = _RULE
        else:
            limit = max(_CHARACTER_SPAN, _CHARACTER_REPEATS * period)
        if length >= limit:
            return f"{piece!r} {length // period} times in a row"
    return None


def _same_line(text: str) -> str | None:
    parts = re.split(r"[\n.!?。！？]+", text.lower())
    counted = Counter(" ".join(part.split()) for part in parts if len(part.split()) >= _LINE_WORDS)
    for part, times in counted.most_common(1):
        if times >= _SAME_LINE and times * len(part) >= _SAME_LINE_SHARE * len(text):
            return f"{part[:80]!r} {times} times"
    return None


def _few_words(text: str) -> str | None:
    words = text.lower().split()
    for start in range(0, len(words) - _WINDOW_WORDS + 1, _WINDOW_WORDS // 2):
        distinct = set(words[start : start + _WINDOW_WORDS])
        if len(distinct) < _WINDOW_DISTINCT:
            return f"{_WINDOW_WORDS} words with only {len(distinct)} different ones"
    return None
