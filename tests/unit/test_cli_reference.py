"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from thorctl.cli.main import VERBS
from thorctl.cli_reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "run: python -m thorctl.cli_reference > docs/cli.md"


def test_every_verb_has_a_section_with_examples_or_verbs_of_its_own() -> None:
    page = reference()
    for verb in VERBS:
        section = page.partition(f"\n## thorctl {verb}\n")[2].partition("\n## ")[0]
        assert "Usage: thorctl" in section, verb


def test_no_path_of_this_machine_is_in_it() -> None:
    assert str(PAGE.parents[1]) not in reference()
