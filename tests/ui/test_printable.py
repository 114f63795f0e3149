"""Text from outside: what a terminal gets of it."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from thorctl.ui.printable import LINE_CHARACTERS, REPLACEMENT, json_text, one_line, printable, printable_all

HOSTILE = {
    "CSI": "\x1b[2J",
    "OSC: title": "\x1b]0;x\x07",
    "OSC 52: clipboard": "\x1b]52;c;cm0gLXJm\x1b\\",
    "DCS": "\x1bP+q\x1b\\",
    "C1 CSI": "\x9b31m",
    "C1 OSC": "\x9d0;x\x9c",
    "carriage return": "good\rbad",
    "backspaces": "good\x08\x08\x08\x08bad",
    "delete, NUL, bell": "\x7f\x00\x07",
    "direction override": "\u202egnp.exe\u202c",
    "isolates": "\u2066x\u2069",
    "marks": "\u200e\u200f\u061c",
    "zero width": "thor\u200b-\u200c0\u200d1\u2060\ufeff",
    "line separators": "a\u2028b\u2029c\x85d",
    "lone surrogate": "\ud800",
    "tags": "\U000e0041",
    "private use": "\ue000",
    "blank letters": "a\u3164b\u115fc\u034fd",
}
HARMLESS = [
    "",
    "a\n\tb",
    "naïve café 日本\u3000語",
    "12\u202f%",
    "5\u00a0GB",
    "שלום",
    "✓ → … 😀 e\u0301",
    "[/] [red]",
]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_character_steers_or_hides(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert REPLACEMENT in shown
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in shown)
    shown.encode()  # prints
    assert printable(shown) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    assert printable(text) == text


def test_every_character_is_shown_or_replaced() -> None:
    whole = "".join(map(chr, range(sys.maxunicode + 1)))
    assert {c for c in whole if printable(c) == c and unicodedata.category(c)[0] == "C"} == {"\n", "\t"}


def test_a_line_without_end_is_cut() -> None:
    shown = printable("x" * 1_000_000 + "\nend")
    assert shown == "x" * LINE_CHARACTERS + f"… [{1_000_000 - LINE_CHARACTERS} more characters]\nend"


def test_one_line_has_no_line_break() -> None:
    assert one_line(" a\n b\t\tc\x1b ") == f"a b c{REPLACEMENT}"
    assert one_line(None) == ""


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("indent", [None, 2])
def test_json_keeps_the_value_and_steers_nothing(text: str, indent: int | None) -> None:
    value = {text: [text, {"n": 1, "ä": "日本"}]}
    written = json_text(value, indent=indent)
    assert json.loads(written) == value
    assert written.replace("\n", "").isprintable()
    assert "日本" in written


def test_every_text_of_a_value_is_replaced() -> None:
    value = {"\x1b": ["\x1b", ("\x1b", 1), {"a": None, "b": "\x1b"}]}
    assert "\x1b" not in repr(printable_all(value))
    assert printable_all({"a": [1, True, None, "b"]}) == {"a": [1, True, None, "b"]}
