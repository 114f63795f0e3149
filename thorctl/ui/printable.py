"""Make untrusted text safe for a terminal.

Text of a device, a model, a registry or a file may contain escape sequences, characters that reorder or hide
others, or lines without end. `console` applies these functions to everything that is printed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LINE_CHARACTERS = 10_000  # of one printed line; the longest genuine one is a smoke report's answer
_KEPT = "\n\t"
# Letters and marks without a glyph: Hangul fillers, the grapheme joiner, two Khmer vowels.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_BLANKS = re.compile(f"[{''.join(_BLANK)}]")


def printable(text: str) -> str:
    """Replace each character that is not displayed as itself, and cut lines after ``LINE_CHARACTERS``.

    Replaced by U+FFFD, one for one: control characters but newline and tab (ESC, CSI and OSC among them),
    format characters (direction overrides, zero-width ones), surrogates, private use, unassigned ones, the
    Unicode line separators. Spaces of every width and all letters stay.
    """
    if not text.isprintable() or _BLANKS.search(text):
        text = "".join(map(_shown, text))
    if len(text) <= LINE_CHARACTERS:
        return text
    return "\n".join(map(_cut, text.split("\n")))


def one_line(text: object) -> str:
    """``printable``, with each run of white space as one blank; None is empty."""
    return printable(" ".join(str("" if text is None else text).split()))


def printable_all(value: Any) -> Any:
    """Return ``value`` with `printable` applied to every text in its lists and mappings."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable_all(key): printable_all(item) for key, item in value.items()}
        case list() | tuple():
            return [printable_all(item) for item in value]
    return value


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON that keeps every value and escapes each character that ``printable`` would replace."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable() and not _BLANKS.search(text):
        return text
    return "".join(c if _shown(c) == c else json.dumps(c)[1:-1] for c in text)


def _shown(character: str) -> str:
    if character in _KEPT or (character.isprintable() and character not in _BLANK):
        return character
    return character if unicodedata.category(character) == "Zs" else REPLACEMENT


def _cut(line: str) -> str:
    more = len(line) - LINE_CHARACTERS
    return line if more <= 0 else f"{line[:LINE_CHARACTERS]}… [{more} more characters]"
