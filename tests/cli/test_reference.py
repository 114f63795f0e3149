"""docs/reference/cli.md is what the commands say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

from thorctl.cli.main import VERBS
from thorctl.cli.reference import protocol, reference

TITLE = re.compile(r"^##+ (thorctl [a-z ]+)$", re.MULTILINE)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
PROTOCOL = PAGE.with_name("protocol.md")


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "run: make docs"


def test_the_page_of_the_protocol_is_current() -> None:
    assert PROTOCOL.read_text() == protocol(), "run: make docs"


def test_every_verb_has_a_section() -> None:
    page = reference()
    assert [verb for verb in VERBS if f"\n## thorctl {verb}\n" not in page] == []


def test_what_can_be_run_has_an_example_of_itself() -> None:
    titles, bodies = TITLE.findall(reference()), TITLE.split(reference())[2::2]
    sections = dict(zip(titles, bodies, strict=True))
    runnable = {title: body for title, body in sections.items() if "\nCommands:\n" not in body}
    assert len(runnable) > len(VERBS)
    lacking = [title for title, body in runnable.items() if title not in body.partition("Examples:\n")[2]]
    assert lacking == []


def test_no_promise_is_cut_off_in_a_list_of_commands() -> None:
    lists = re.findall(r"^Commands:\n((?:  .*\n)+)", reference(), re.MULTILINE)
    assert [line for part in lists for line in part.splitlines() if line.endswith("...")] == []


def test_no_path_of_this_machine_is_in_it() -> None:
    assert str(PAGE.parents[1]) not in reference()
