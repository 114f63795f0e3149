"""The agent's file is replaced while an agent is at work: the running one ends its verb as it began it."""

from __future__ import annotations

import ast
import fcntl
import io
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.simulated import CHECKOUT
from thorctl.agent.core.clock import Clock
from thorctl.agent.core.locking import locked
from thorctl.remote import agent_archive

pytestmark = pytest.mark.slow

EARLIER = "d679725d6b091f8d59d51946b1a1266f2cd2a433"
LOADS_VERBS = {"verbs.py", "dispatch.py"}  # of the earlier agent, of this one
WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the release before, as far as its agent needs it."""
    words = ["git", "-C", str(CHECKOUT), "archive", EARLIER, "thorctl/__init__.py", "thorctl/agent"]
    archive = subprocess.run([*words, "thorctl/agent_pack.py"], capture_output=True, check=True).stdout
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def zipapps(earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The agent of the release before, and this one."""
    folder = tmp_path_factory.mktemp("zipapps")
    program = (
        "import sys, pathlib; from thorctl import agent_pack; agent_pack.build(pathlib.Path(sys.argv[1]))"
    )
    words = [sys.executable, "-c", program, str(folder / "earlier.pyz")]
    subprocess.run(words, check=True, cwd=earlier)
    ours = agent_archive.build(folder / "ours.pyz")
    return {"earlier": (folder / "earlier.pyz").read_bytes(), "ours": ours.read_bytes()}


def late_imports(package: Path) -> list[str]:
    """Imports below the top of a module, and uses of importlib, but for the loader of verbs."""
    found = []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        inner = [node for one in functions for node in ast.walk(one)]
        late = [node for node in inner if isinstance(node, ast.Import | ast.ImportFrom)]
        named = [
            node for node in inner if isinstance(node, ast.Name) and node.id in ("importlib", "__import__")
        ]
        if late or (named and path.name not in LOADS_VERBS):
            found.append(str(path.relative_to(package)))
    return found


def test_agent_imports_nothing_late() -> None:
    """zipimport opens the file by its name each time: a late import would read another agent's bytes."""
    assert late_imports(CHECKOUT / "thorctl" / "agent") == []


def test_earlier_agent_imports_nothing_late(earlier: Path) -> None:
    assert late_imports(earlier / "thorctl" / "agent") == []


@pytest.mark.parametrize(
    ("at_work", "lock"),
    [("earlier", "run/thor/lock"), ("ours", "run/thor/private/lock")],
    ids=["earlier", "ours"],
)
def test_agent_replaced_while_a_verb_waits_ends_the_verb(
    tmp_path: Path, zipapps: dict[str, bytes], at_work: str, lock: str
) -> None:
    root, installed = tmp_path / "root", tmp_path / "agent.pyz"
    installed.write_bytes(zipapps[at_work])
    held = root / lock
    held.parent.mkdir(parents=True, mode=0o700)
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        words = [sys.executable, "-I", str(installed), "--root", str(root), "--holder", "device", "rollback"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            wait_until_open(process.pid, held)
            fresh = tmp_path / "agent.new"
            fresh.write_bytes(zipapps["ours" if at_work == "earlier" else "earlier"])
            fresh.replace(installed)
            fcntl.flock(file, fcntl.LOCK_UN)
            answer = json.loads(process.communicate(timeout=WAIT_SECONDS)[0])
    assert (answer["ok"], answer["error"]["code"]) == (False, "nothing_to_roll_back")
    done = subprocess.run([*words[:-1], "status"], capture_output=True, text=True, check=True)
    layouts = json.loads(done.stdout)["data"].get("agent_layouts")
    assert (layouts is None) == (at_work == "ours"), "the next call is answered by the new file"


def test_earlier_agent_that_comes_late_finds_this_one_at_work(
    tmp_path: Path, zipapps: dict[str, bytes]
) -> None:
    """It waited for a hold since before the update, say; the lock that it asks for is not this agent's."""
    zipapp, earlier = tmp_path / "earlier.pyz", tmp_path / "root" / "run" / "thor" / "lock"
    zipapp.write_bytes(zipapps["earlier"])
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    words = [sys.executable, "-I", str(zipapp), "--root", str(tmp_path / "root"), "commit"]
    with locked(earlier.parent / "private" / "lock", Clock(), {"verb": "rollback"}, earlier=earlier):
        answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=False).stdout)
        assert answer["error"]["code"] == "busy"
    answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=False).stdout)
    assert answer["error"]["code"] == "bad_state"


def wait_until_open(pid: int, path: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not any(one.exists() and one.samefile(path) for one in Path(f"/proc/{pid}/fd").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)
