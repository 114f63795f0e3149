"""Tests of scripts/phrases.py: phrases to avoid are found, their replacements are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import phrases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        "On it a device could not go back, so it does not set out.",
        "The disk says that it is full.",
        "asks its owner to end, and at last sees to it",
        "Judged and found wanting: it goes back.",
        "IT COULD NOT BE SEEN TO ANSWER",
        "its disk has no memory to share",
        "So many devices first.",
        "Do you accept them for whom you act for?",
        "What the answer to a verb makes of a device. Pure.",
        "Nothing is changed again\nand again.",
        "The unit\nwants a disk.",
    ],
)
def test_phrase_to_avoid_is_found(text: str) -> None:
    assert list(phrases.hits(text))


@pytest.mark.parametrize(
    "text",
    [
        "Terminate read-only verbs when the client disconnects.",
        "Cannot reserve 128 KiB for a rollback: the disk is full. The running release was not changed.",
        "Evict the lock's owner: SIGTERM after grace_seconds, SIGKILL later.",
        "Mark the device unhealthy and schedule its rollback.",
        "Number of devices in the first wave.",
        "Accepted slowdown against the previous release, in percent.",
        "A value well below the limit.",
    ],
)
def test_plain_english_is_not_found(text: str) -> None:
    assert list(phrases.hits(text)) == []


def test_code_of_a_page_is_left_out_and_lines_are_counted() -> None:
    page = "# Title\n\n```console\n$ say it again\n```\n\n`for ever` is code.\nThe plan goes on.\n"
    assert [(one.line, one.phrase) for one in phrases.hits(phrases.prose(page))] == [(8, "goes on")]


def test_documentation_has_no_phrase_to_avoid() -> None:
    pages = [name for name in phrases.tracked() if phrases.is_page(name)]
    assert len(pages) > 30
    texts = {name: phrases.prose((phrases.ROOT / name).read_text(encoding="utf-8")) for name in pages}
    assert {name: list(phrases.hits(text)) for name, text in texts.items() if list(phrases.hits(text))} == {}


def test_generated_pages_are_not_linted() -> None:
    assert phrases.is_page("docs/how-to/edge.md")
    assert not phrases.is_page("docs/reference/cli.md")
    assert not phrases.is_page("thorctl/cli/main.py")


def test_linted_code_has_no_phrase_to_avoid() -> None:
    names = [name for name in phrases.tracked() if phrases.is_linted(name)]
    assert len(names) > 300
    texts = {name: phrases.code_text(name) for name in names}
    assert {name: list(phrases.hits(text)) for name, text in texts.items() if list(phrases.hits(text))} == {}


def test_code_hits_have_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""First.\n\nThe plan goes\non.\n"""\nX = 1  # for\n# ever\nY = ("at "\n     "last")\n')
    text = phrases.comments_and_strings(file)
    assert [(one.line, one.phrase) for one in sorted(phrases.hits(text))] == [
        (3, "goes on"),
        (6, "for ever"),
        (8, "at last"),
    ]
