"""What the engine is asked for to run a device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.sim import confinement
from thorctl.sim.device_container import container_config
from thorctl.sim.state import Device

if TYPE_CHECKING:
    from pathlib import Path


def config(cgroup_version: int = 2, disk_bytes: int | None = None) -> dict[str, Any]:
    device = Device(name="thor-02", address="10.213.64.12", site="lab", disk_bytes=disk_bytes)
    return container_config(
        device, simulation="demo", image="thorctl/sim-device-26.1:0123", cgroup_version=cgroup_version
    )


def test_identity_and_address() -> None:
    made = config()
    assert made["Image"] == "thorctl/sim-device-26.1:0123"
    assert made["Hostname"] == "thor-02"
    assert made["Labels"] == {"dev.thorctl.sim": "demo", "dev.thorctl.sim.device": "thor-02"}
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "thorctl-demo": {"IPAMConfig": {"IPv4Address": "10.213.64.12"}, "Aliases": ["thor-02"]}
    }


def test_neither_privileged_nor_with_raised_limits() -> None:
    """A host without CAP_SYS_RESOURCE refuses both."""
    host_config = config()["HostConfig"]
    assert "Privileged" not in host_config
    assert "Ulimits" not in host_config
    assert not {"ALL", "SYS_RESOURCE", "SYS_MODULE", "MKNOD"} & set(host_config["CapAdd"])


def test_nothing_of_docker_s_masks_and_of_the_host_s_control_groups_is_given() -> None:
    host_config = config()["HostConfig"]
    assert not {"MaskedPaths", "ReadonlyPaths"} & set(host_config)
    assert host_config["CgroupnsMode"] == "private"
    assert "bind" not in {mount["Type"] for mount in host_config["Mounts"]}


@pytest.mark.parametrize(("version", "allowed"), [(1, False), (2, True)])
def test_bpf_is_allowed_where_control_groups_need_it(version: int, *, allowed: bool) -> None:
    profile = json.loads(config(version)["HostConfig"]["SecurityOpt"][0].removeprefix("seccomp="))
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert ("bpf" not in profile["syscalls"][0]["names"]) == allowed


@pytest.mark.parametrize(("files", "version"), [(["cgroup.controllers"], 2), (["memory"], 1), ([], 1)])
def test_the_host_s_version_of_control_groups(files: list[str], version: int, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert confinement.cgroup_version(tmp_path) == version


def test_engine_data_and_state_outlive_the_container_s_boots() -> None:
    mounts = config()["HostConfig"]["Mounts"]
    assert {"Type": "volume", "Source": "thorctl-demo-thor-02-docker", "Target": "/var/lib/docker"} in mounts
    assert {
        "Type": "volume",
        "Source": "thorctl-demo-thor-02-containerd",
        "Target": "/var/lib/containerd",
    } in mounts
    assert {"Type": "volume", "Source": "thorctl-demo-thor-02-state", "Target": "/var/lib/thor"} in mounts


def test_a_small_disk_stands_in_for_the_state_volume() -> None:
    host_config = config(disk_bytes=1 << 20)["HostConfig"]
    assert host_config["Tmpfs"]["/var/lib/thor"] == "mode=755,size=1048576"
    assert "/var/lib/thor" not in {mount["Target"] for mount in host_config["Mounts"]}
