"""Start time is imports, and imports can be counted on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Packages outside the standard library that were imported by the end of the call.
PROGRAM = """
import atexit, json, sys
def report():
    foreign = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"__main__"}
    found = sorted(name for name in foreign if not name.startswith(("_", "sitecustomize")))
    print(json.dumps(found), file=sys.stderr)
atexit.register(report)
from thorctl.cli.main import main
main()
"""


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], []])
def test_start_imports_click_alone(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert "thorctl" in done.stdout
    assert json.loads(done.stderr.splitlines()[-1]) == ["click", "thorctl"]
