"""Start time is imports, and imports can be counted on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest

from tests.support.simulated import CHECKOUT
from thorctl.cli import extras
from thorctl.cli.main import run

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


@pytest.fixture
def no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("thorctl.c")]:
        if name.partition(".")[2].startswith(("checkpoint", "cli.checkpoint")):
            monkeypatch.delitem(sys.modules, name)
    for name in ("numpy", "ml_dtypes"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_numpy")
def test_verb_without_its_extra_names_the_command_that_installs_it() -> None:
    result = run(["checkpoint", "repair", "--help"])
    assert result is not None
    assert result.errors[0].code == "extra_missing"
    assert "`thorctl checkpoint repair`" in result.errors[0].message
    assert "`pip install 'thorctl[checkpoint]'`" in result.errors[0].remedy


@pytest.mark.usefixtures("no_numpy")
@pytest.mark.parametrize("words", [[], ["audit"], ["publish"]])
def test_what_is_read_from_headers_needs_no_extra(words: list[str]) -> None:
    """The tutorial publishes a checkpoint with what `make demo` has installed."""
    assert run(["checkpoint", *words, "--help"]) is None


def test_each_extra_that_a_verb_names_is_declared() -> None:
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, extra in extras.EXTRAS.items():
        assert any(line.startswith(package) for line in declared[extra])
