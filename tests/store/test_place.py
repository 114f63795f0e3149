"""The store of simulated devices lies and ends with them; that of others is the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.cli.main import run
from thorctl.store.place import store_file

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "thor: {hosts: {thor-01: {ansible_host: 192.0.2.1}}}\n"


@pytest.fixture
def simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("THORCTL_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path / "sim"))
    folder = tmp_path / "sim" / "demo"
    (folder / "inventory").mkdir(parents=True)
    (folder / "inventory" / "hosts.yml").write_text(HOSTS)
    return folder


def shown(project: Path, *words: str) -> Path:
    result = run(["--project", str(project), *words, "history"])
    assert result is not None
    return store_file().parent


def test_history_of_a_simulation_lies_in_its_folder(project: Path, simulation: Path) -> None:
    assert shown(project) == simulation / "state"
    assert shown(project, "-i", str(simulation / "inventory")) == simulation / "state"


def test_history_of_other_devices_is_the_user_s(project: Path, simulation: Path, tmp_path: Path) -> None:
    (project / "inventory").mkdir()
    (project / "inventory" / "hosts.yml").write_text(HOSTS)
    assert shown(project) == tmp_path / "user" / "thorctl"
    assert shown(project, "-i", str(simulation / "inventory" / "hosts.yml")) == simulation / "state"
    assert shown(project, "-i", "/nowhere") == tmp_path / "user" / "thorctl"


def test_chosen_folder_is_used_for_simulations_too(
    project: Path, simulation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulation.is_dir()
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "mine"))
    assert shown(project) == tmp_path / "mine"
