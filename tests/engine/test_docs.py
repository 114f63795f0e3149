"""The snippets of docs/how-to/clients.md, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.engine.served_release import ROOT

pytestmark = pytest.mark.vllm
SNIPPETS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "clients.md").read_text(encoding="utf-8"), re.DOTALL
)


def run(snippet: str, address: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        env={**os.environ, "THOR_URL": address, "THOR_KEY": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openai(engine_address: str) -> None:
    thinks, calls, says = run(SNIPPETS[0], engine_address).split("\n", 2)
    assert thinks.startswith("thinks: ")
    says = f"{calls}\n{says}"
    assert "calls: get_weather {'city': 'Oslo'}" in says
    assert "sunny" in says.partition("says:")[2]


def test_anthropic(engine_address: str) -> None:
    assert "sunny" in run(SNIPPETS[1], engine_address)


def test_no_snippet_is_left_out() -> None:
    assert len(SNIPPETS) == 2
