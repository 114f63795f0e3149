"""What the engine is asked for to run a device."""

from __future__ import annotations

from typing import Any

from thorctl.sim.cgroups import Cgroups
from thorctl.sim.device_container import container_config
from thorctl.sim.state import Device

UNIFIED = Cgroups(version=2)
HYBRID = Cgroups(version=1, mounts=(("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu"),))


def config(host: Cgroups = UNIFIED, disk_bytes: int | None = None) -> dict[str, Any]:
    device = Device(name="thor-02", address="10.213.64.12", site="lab", disk_bytes=disk_bytes)
    return container_config(device, simulation="demo", image="thorctl/sim-device:0123", host=host)


def test_identity_and_address() -> None:
    made = config()
    assert made["Image"] == "thorctl/sim-device:0123"
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


def test_nothing_of_proc_and_sys_is_masked() -> None:
    host_config = config()["HostConfig"]
    assert host_config["MaskedPaths"] == []
    assert host_config["ReadonlyPaths"] == []


def test_engine_data_and_state_outlive_the_container_s_boots() -> None:
    mounts = config()["HostConfig"]["Mounts"]
    assert {"Type": "volume", "Source": "thorctl-demo-thor-02-docker", "Target": "/var/lib/docker"} in mounts
    assert {"Type": "volume", "Source": "thorctl-demo-thor-02-state", "Target": "/var/lib/thor"} in mounts


def test_a_small_disk_stands_in_for_the_state_volume() -> None:
    host_config = config(disk_bytes=1 << 20)["HostConfig"]
    assert host_config["Tmpfs"]["/var/lib/thor"] == "mode=755,size=1048576"
    assert "/var/lib/thor" not in {mount["Target"] for mount in host_config["Mounts"]}


def test_unified_cgroups_are_bound_whole() -> None:
    host_config = config(UNIFIED)["HostConfig"]
    whole = {"Type": "bind", "Source": "/sys/fs/cgroup", "Target": "/sys/fs/cgroup", "ReadOnly": False}
    assert whole in host_config["Mounts"]
    assert host_config["CgroupnsMode"] == "host"
    assert "/sys/fs/cgroup" not in host_config["Tmpfs"]


def test_the_host_s_tmpfs_of_hierarchies_is_never_handed_over() -> None:
    """Systemd would remount it read-only, for the host too."""
    host_config = config(HYBRID)["HostConfig"]
    binds = {m["Source"]: m["Target"] for m in host_config["Mounts"] if m["Type"] == "bind"}
    assert binds == {"/sys/fs/cgroup/cpu,cpuacct": "/sys/fs/cgroup/cpu"}
    assert host_config["Tmpfs"]["/sys/fs/cgroup"].startswith("ro,")
