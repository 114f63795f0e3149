"""The way out of every error: the test that goes it, or the page that describes it (``remedies.txt``)."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.support.error_sites import VALUE, sites_of
from thorctl.protocol.controller_errors import ERRORS

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("remedies.txt")


@cache
def table() -> dict[str, tuple[str, str]]:
    """Code -> (``tried`` or ``page``, the test's name or the page and its heading)."""
    found: dict[str, tuple[str, str]] = {}
    for line in TABLE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        code, kind, where = [*line.split(maxsplit=2), ""][:3]
        assert code not in found, f"{code} stands there twice"
        assert kind in {"tried", "page"}, line
        found[code] = (kind, where)
    return found


def test_every_error_has_its_line_and_every_line_its_error() -> None:
    assert set(table()) == set(ERRORS), (
        "add a line to remedies.txt: CODE tried TEST, or CODE page FILE#HEADING"
    )


def test_the_tests_that_go_a_way_out_exist_and_meet_the_error() -> None:
    tests: dict[str, str] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                tests[node.name] = tests.get(node.name, "") + text
    wrong = [
        f"{code}: {where}"
        for code, (kind, where) in table().items()
        if kind == "tried" and code not in tests.get(where, "")
    ]
    assert not wrong, wrong


def test_section_of_a_page_names_the_code_whose_way_out_it_describes() -> None:
    wrong = []
    for code, (kind, where) in table().items():
        page, _, heading = where.partition("#")
        if kind == "page" and f"`{code}`" not in _sections(ROOT / page).get(heading, ""):
            wrong.append(f"{code}: {where}")
    assert not wrong, wrong


@cache
def _sections(page: Path) -> dict[str, str]:
    """Heading -> text below it, of a Markdown page."""
    parts = re.split(r"^#+ +(.*)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_code_is_found_wherever_an_error_is_made() -> None:
    source = (
        "raise ThorError('a_b', 'm', 'r')\nx = errors.Problem('c_d', f'{1}', 'r')\nThorError(code, 'm')\n"
    )
    assert [site.codes for site in sites_of(source, "x.py")] == [("a_b",), ("c_d",), (VALUE,)]
