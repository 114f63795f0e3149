"""The module that takes a configuration of edge or door into use: what its account can read and test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host
from tests.playbooks.load_plugin import load

MODULE = load("modules", "thor_edge")


@pytest.fixture
def one(tmp_path: Path) -> Any:
    found = MODULE.Nginx("edge")
    found.home, found.run = tmp_path / "home", tmp_path / "run"
    found.current = found.home / "current"
    return found


def test_an_edge_that_ran_as_root_does_not_refuse_the_test(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its PID file is root's: nginx -t of another account would fail on it."""
    given: list[Any] = []
    asked: list[tuple[str, ...]] = []
    one.run.mkdir()
    (one.run / "nginx.pid").write_text("1\n")
    monkeypatch.setattr(Path, "owner", lambda _: "root")
    monkeypatch.setattr(shutil, "chown", lambda *words: given.append(words))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(host, "run", run)
    assert MODULE.tested(one, "0123456789ab") is None
    assert given == [(one.run, "thor-edge", "thor-edge")]
    assert not (one.run / "nginx.pid").exists()
    assert asked[0][:5] == ("setpriv", "--reuid", "thor-edge", "--regid", "thor-edge")


def test_files_are_read_by_root_and_one_account(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[int] = []
    monkeypatch.setattr(one, "gid", lambda: 4711)
    monkeypatch.setattr(MODULE.os, "fchown", lambda _, __, group: changed.append(group))
    monkeypatch.setattr(MODULE.os, "chown", lambda _, __, group: changed.append(group))
    MODULE.write(one, "0123456789ab", {"keys.conf": "secret", "nginx.conf": "include keys.conf;"})
    folder = one.home / "0123456789ab"
    modes = [path.stat().st_mode & 0o777 for path in (one.home, folder, folder / "keys.conf")]
    assert modes == [0o750, 0o750, 0o640]
    assert changed == [4711] * 4
