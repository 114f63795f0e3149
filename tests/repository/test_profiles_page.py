"""docs/reference/profiles.md knows every profile and every switch with what it sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from thorctl.release import profile
from thorctl.release.switches import OPTIONS

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "reference" / "profiles.md").read_text()


def row(word: str) -> str:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{word}` |")]
    return line


@pytest.mark.parametrize("name", profile.names(CHECKOUT / "deploy"))
def test_every_profile_has_a_row(name: str) -> None:
    assert row(name)


@pytest.mark.parametrize("switch", OPTIONS)
def test_every_switch_has_a_row_with_what_it_sets(switch: str) -> None:
    for option, value in OPTIONS[switch].items():
        assert option in row(switch)
        words = value.values() if isinstance(value, dict) else [value]
        assert all(str(word if word is not True else "true") in row(switch) for word in words)
