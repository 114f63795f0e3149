"""Which simulation is meant, and what is said when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.errors import ThorError
from thorctl.inventory import simulations
from thorctl.sim import ssh_key, state
from thorctl.sim.state import Device, Simulation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path))
    monkeypatch.delenv("THORCTL_SIM", raising=False)
    return tmp_path


def made(name: str) -> Simulation:
    simulation = Simulation(name=name, subnet="10.213.64.0/24", registry_address="10.213.64.2")
    simulation.devices = [Device(name="thor-01", address="10.213.64.11", site="lab", disk_bytes=5)]
    simulation.save()
    return simulation


def test_saved_and_loaded(home: Path) -> None:
    simulation = made("demo2")
    assert state.load("demo2") == simulation
    assert '"schema": 1' in (home / "demo2" / "sim.json").read_text()


def test_via_names_only_what_is_up(home: Path) -> None:
    simulation = made("demo")
    assert simulation.via == {"registry.thorctl.test:5000": "http://10.213.64.2:5000"}
    simulation.hub_address = "10.213.64.3"
    assert simulation.via["hub.thorctl.test"] == "http://10.213.64.3"


def test_none_is_an_error_that_names_the_command() -> None:
    with pytest.raises(ThorError) as caught:
        state.load()
    assert caught.value.code == "sim_not_running"
    assert "thorctl sim up --name demo" in caught.value.remedy


def test_the_environment_names_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    made("dev")
    monkeypatch.setenv("THORCTL_SIM", "dev")
    assert state.load().name == "dev"
    assert state.find("demo") is None


def test_current_is_demo_or_the_only_one() -> None:
    assert simulations.current() is None
    made("dev")
    assert simulations.current() == "dev"
    made("other")
    assert simulations.current() is None
    made("demo")
    assert simulations.current() == "demo"


@pytest.mark.parametrize("content", ["{", "{}", '{"schema": 2, "name": "demo", "subnet": "x"}'])
def test_a_broken_state_says_how_to_go_on(home: Path, content: str) -> None:
    (home / "demo").mkdir()
    (home / "demo" / "sim.json").write_text(content)
    with pytest.raises(ThorError) as caught:
        state.load("demo")
    assert caught.value.code == "sim_state_invalid"
    assert "thorctl sim down --name demo" in caught.value.remedy


@pytest.mark.parametrize("name", ["", "Demo", "a/b", "../x", "-a", "a" * 32])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ThorError, match="name"):
        simulations.checked_name(name)


def test_unknown_device_lists_those_there_are() -> None:
    with pytest.raises(ThorError) as caught:
        made("demo").device("thor-09")
    assert "thor-01" in caught.value.remedy


def test_the_key_is_made_once_and_only_its_owner_reads_it(home: Path) -> None:
    path = home / "ssh" / "id_ed25519"
    public = ssh_key.ensure(path)
    assert public.startswith("ssh-ed25519 ")
    assert path.stat().st_mode & 0o777 == 0o600
    assert ssh_key.ensure(path) == public
