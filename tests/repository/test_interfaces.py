"""docs/reference/interfaces.md names every error code of the agent: programs decide by them."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RAISED = re.compile(r'\bAgentError\(\s*"([a-z_]+)"')


def test_every_code_that_the_agent_raises_is_named() -> None:
    page = (PROJECT / "docs" / "reference" / "interfaces.md").read_text()
    named = set(page.partition("Error codes of the agent (stable): `")[2].partition("`")[0].split())
    source = "\n".join(file.read_text() for file in (PROJECT / "thorctl" / "agent").rglob("*.py"))
    raised = set(RAISED.findall(source))
    assert len(raised) > 10
    assert raised - named == set()
    assert [code for code in named if f'"{code}"' not in source] == []
