"""The zipapp: the same bytes each time, only the agent inside, and it runs as a program of its own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import thorctl
from thorctl.remote.agent_archive import build

PACKAGE = Path(thorctl.__file__).parent
SOURCES = sorted(file for folder in ("agent", "protocol") for file in (PACKAGE / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pack") / "agent.pyz")


def say(agent: Path, *words: str) -> tuple[int, dict[str, object], str]:
    # -I: nothing of this checkout or environment may be needed.
    done = subprocess.run(
        [sys.executable, "-I", "-S", agent, *words], capture_output=True, text=True, check=False, timeout=60
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done
    return done.returncode, json.loads(lines[0]), done.stderr


def test_same_bytes_each_time(agent: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "again.pyz").read_bytes() == agent.read_bytes()


def test_only_the_agent_is_inside(agent: Path) -> None:
    names = zipfile.ZipFile(agent).namelist()
    assert names == sorted(names)
    outside = [name for name in names if not name.startswith(("thorctl/agent/", "thorctl/protocol/"))]
    assert outside == ["__main__.py", "thorctl/__init__.py"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_standard_library_only_and_python_3_10(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 10))
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            top = module.split(".")[0]
            own = module == "thorctl" or module.startswith(("thorctl.agent", "thorctl.protocol"))
            assert own or top in sys.stdlib_module_names, f"{source}: {module}"
            assert top != "tomllib", "not in Python 3.10"


def test_a_verb(agent: Path, tmp_path: Path) -> None:
    rc, document, _ = say(agent, "--root", str(tmp_path), "lease", "show")
    assert rc == 0
    assert document == {
        "schema": 1,
        "verb": "lease",
        "ok": True,
        "changed": False,
        "data": {"lease": None},
        "error": None,
    }


@pytest.mark.parametrize(
    ("words", "verb"), [([], "?"), (["dance"], "?"), (["stage"], "?"), (["activate", "--deadline", "x"], "?")]
)
def test_even_a_bad_call_speaks_json(agent: Path, words: list[str], verb: str) -> None:
    rc, document, _ = say(agent, *words)
    assert (rc, document["verb"], document["ok"]) == (2, verb, False)


def test_an_unreadable_release_is_a_bad_call(agent: Path, tmp_path: Path) -> None:
    rc, document, _ = say(agent, "--root", str(tmp_path), "stage", "--release", "/nowhere")
    assert (rc, document["error"] and document["error"]["code"]) == (2, "bad_call")  # type: ignore[index]


def test_logs_as_json(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "var/lib/thor/.tmp-state.json").parent.mkdir(parents=True)
    (tmp_path / "var/lib/thor/.tmp-state.json").write_text("")
    _, document, log = say(agent, "--root", str(tmp_path), "--json-logs", "recover")
    assert document["changed"] is True
    assert [json.loads(line)["level"] for line in log.splitlines()] == ["info"]
