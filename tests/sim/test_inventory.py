"""The inventory of a simulation holds what docs/reference/interfaces.md promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from thorctl.sim.inventory import inventory, known_hosts, to_yaml
from thorctl.sim.state import Device, Simulation


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulation:
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path / "a folder"))
    return Simulation(
        name="demo",
        subnet="10.213.64.0/24",
        devices=[
            Device(name="thor-01", address="10.213.64.11", site="lab"),
            Device(name="thor-02", address="10.213.64.12", site="north-hall"),
            Device(name="thor-03", address="10.213.64.13", site="lab"),
            Device(name="thor-vm-01", kind="virtual", address="127.0.0.1", port=4022, site="lab"),
        ],
    )


def test_yaml_reads_back_as_the_document(simulation: Simulation) -> None:
    document = inventory(simulation)
    assert YAML(typ="safe").load(to_yaml(document)) == document


def test_ansible_reads_it(simulation: Simulation, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(to_yaml(inventory(simulation)), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(path), "--list"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    variables = listed["_meta"]["hostvars"]
    assert set(listed["site_lab"]["hosts"]) == {"thor-01", "thor-03", "thor-vm-01"}
    assert listed["site_north_hall"]["hosts"] == ["thor-02"]
    thor = variables["thor-02"]
    assert thor["ansible_host"] == "10.213.64.12"
    assert thor["ansible_user"] == "thor"
    assert thor["ansible_become"] is True
    assert thor["ansible_python_interpreter"] == "/usr/bin/python3"
    assert thor["thor_site"] == "north-hall"
    assert thor["thor_profile"] == "tiny-qwable"
    assert thor["thor_device_class"] == "simulated-container"
    assert thor["ansible_port"] == 22
    virtual = variables["thor-vm-01"]
    assert (virtual["ansible_host"], virtual["ansible_port"]) == ("127.0.0.1", 4022)
    assert virtual["thor_device_class"] == "simulated-vm"
    assert virtual["thor_time_servers"] == ["time.thorctl.test"]
    assert "thor_time_servers" not in thor
    assert "thor_host_account" not in thor
    assert thor["thor_docker_insecure_registries"] == ["registry.thorctl.test:5000"]
    assert thor["thor_known_hosts_file"] == str(simulation.known_hosts)
    assert "StrictHostKeyChecking=yes" in thor["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile='{simulation.known_hosts}'" in thor["ansible_ssh_common_args"]


def test_known_hosts_holds_the_key_without_its_comment() -> None:
    first, second = ("10.213.64.11", 22), ("127.0.0.1", 4022)
    lines = known_hosts({first: "ssh-ed25519 AAAAC3Nz thor-01", second: "ssh-ed25519 BBBB"})
    assert lines == "10.213.64.11 ssh-ed25519 AAAAC3Nz\n[127.0.0.1]:4022 ssh-ed25519 BBBB\n"
