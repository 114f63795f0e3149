"""docs/reference/reliability.md: every test that it names is there, and every table row names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "reference" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("|---")]
TITLES = {"| promise | held by |", "| proof | where |"}


@cache
def names_in(file: Path) -> set[str]:
    """Functions and classes of a module, and names that it gives to what it makes (``TestAgent = …``)."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("named", NAMED)
def test_it_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert (PROJECT / path).is_file()
    assert not name or name in names_in(PROJECT / path)


def test_every_promise_names_its_test() -> None:
    rows = [row for row in ROWS if row not in TITLES]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"`tests/", row)] == []


def test_a_name_that_is_not_there_would_be_seen() -> None:
    assert "test_it_is_there" in names_in(Path(__file__))
    assert "test_it_is_not_there" not in names_in(Path(__file__))
