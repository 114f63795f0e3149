"""Facts: right from the captures, null where nothing can be read, and never held up by one stuck tool."""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.read_capture import raw, text
from tests.support.device_double import make_context
from thorctl.agent.core.gather import Source, gather
from thorctl.agent.core.runner import Runner
from thorctl.agent.facts import device
from thorctl.agent.verbs import facts
from thorctl.protocol.encode import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = {
    "architecture",
    "hostname",
    "kernel",
    "os_release",
    "soc_compatible",
    "model_name",
    "module",
    "tnspec",
    "container_toolkit",
    "gpu_processes",
    "clocks",
    "cpus",
    "container",
    "daemon_json",
    "nginx",
    "swap",
    "disks",
    "root_filesystem",
    "over_current_events",
    "cgroup",
    "iptables_raw",
    "packages_held",
    "unattended_upgrades",
    "default_target",
    "watchdog",
    "l4t",
    "l4t_core_package",
    "jetpack_package",
    "jetpack",
    "gpu",
    "power_mode",
    "memory",
    "disk",
    "temperature_celsius",
    "power_milliwatts",
    "docker",
    "boot_id",
    "device_name",
    "machine",
    "serial",
    "uptime_seconds",
    "clock_synchronized",
    "clock_settable",
    "network",
}


@pytest.fixture
def thor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a Thor's files, and its programs first on PATH."""
    files = {
        "etc/nv_tegra_release": raw("nv_tegra_release.r38.4.0"),
        "etc/os-release": b'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
        "etc/nv_boot_control.conf": raw("nv_boot_control.conf"),
        "sys/firmware/devicetree/base/compatible": raw("devicetree.compatible"),
        "sys/firmware/devicetree/base/model": raw("devicetree.model"),
        "proc/meminfo": b"MemTotal: 128790528 kB\nMemFree: 1024 kB\nMemAvailable: 2048 kB\n",
        "proc/uptime": b"77.5 1.0\n",
        "proc/sys/kernel/random/boot_id": b"0e8c7a1e-9a3c-4b6e-8f5f-0d8f6a1c2b3d\n",
        "proc/driver/nvidia/version": raw("proc-driver-nvidia-version.r38.4.0"),
        "proc/swaps": raw("swaps.composed"),
        "proc/self/mountinfo": raw("mountinfo.ubuntu.composed"),
        "proc/config.gz": gzip.compress(raw("kernel-config.r38.composed")),
        "sys/class/hwmon/hwmon2/oc3_event_cnt": b"1\n",
        "dev/watchdog0": b"",
    }
    for name, content in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    put_disk(tmp_path / "root", "nvme0n1", "259:1")
    tools = {
        "nvpmodel": text("nvpmodel-q.120w"),
        "dpkg-query": text("dpkg-query.r38.4.0"),
        "jetson_clocks": text("jetson_clocks-show.maxn-locked"),
        "apt-mark": text("apt-mark-showhold"),
        "apt-config": text("apt-config.ubuntu"),
        "busctl": "t 120000000",
    }
    for name, output in tools.items():
        put_tool(tmp_path / "bin", name, printing(output))
    put_tool(
        tmp_path / "bin",
        "nvidia-smi",
        "case $1 in\n"
        f"--query-gpu=*) {printing(text('nvidia-smi.gpu.csv'))};;\n"
        f"--query-compute-apps=*) {printing(text('nvidia-smi.apps.composed.csv'))};;\n"
        f"*) {printing(text('nvidia-smi.r38.2.1'))};;\nesac\n",
    )
    put_tool(
        tmp_path / "bin",
        "systemctl",
        "case $1 in get-default) echo graphical.target;; is-enabled) echo disabled; exit 1;; esac\n",
    )
    line = text("tegrastats.r38.4.0").rstrip()
    put_tool(tmp_path / "bin", "tegrastats", f"while :; do echo '{line}'; sleep 0.1; done\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "root"


def printing(output: str) -> str:
    return f"cat <<'END'\n{output.rstrip()}\nEND\n"


def put_disk(root: Path, name: str, number: str) -> None:
    """A disk with one partition in sysfs, as NVMe drives appear there."""
    disk = root / f"sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/{name}"
    (disk / f"{name}p1").mkdir(parents=True)
    (disk / "size").write_text("2000409264\n")
    (disk / f"{name}p1/partition").write_text("1\n")
    links = {f"sys/block/{name}": disk, f"sys/dev/block/{number}": disk / f"{name}p1"}
    for link, target in links.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)


def put_tool(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}")
    (directory / name).chmod(0o755)


def test_facts_of_a_thor(thor: Path) -> None:
    (thor / "etc/docker").mkdir(parents=True, exist_ok=True)
    (thor / "etc/docker/daemon.json").write_text("{}")
    found = facts.run(make_context(thor, Runner()), argparse.Namespace()).json
    assert set(found) == KEYS
    assert found["daemon_json"] == "{}"
    assert found["soc_compatible"][-1] == "nvidia,tegra264"
    assert found["model_name"] == "NVIDIA Jetson AGX Thor Developer Kit"
    assert found["l4t"]["revision_full"] == "38.4.0"
    assert (found["l4t_core_package"], found["jetpack_package"]) == ("38.4.0-20251230160601", "7.1-b112")
    assert found["jetpack"] == "7.1"
    assert found["gpu"] == {
        "name": "NVIDIA Thor", "driver": "580.00", "compute_capability": "11.0", "utilization_percent": 0,
        "cuda": "13.0",
        "mig": False,
    }  # fmt: skip
    assert [one["pid"] for one in found["gpu_processes"]] == [1234, 2201]
    assert found["clocks"] == {
        "gpu_hertz": 1575000000, "gpu_min_hertz": 1575000000, "gpu_max_hertz": 1575000000,
        "memory_hertz": 4266000000, "locked": True,
    }  # fmt: skip
    assert (found["module"], found["tnspec"]) == ("T5000", "3834-0008")
    assert found["over_current_events"] == {"hwmon2/oc3": 1}
    assert found["power_mode"] == {"name": "120W", "id": 1}
    assert found["memory"]["available_bytes"] == 2048 * 1024
    assert found["temperature_celsius"]["tj"] == 38.875
    assert found["power_milliwatts"]["VIN"] == 19780
    assert found["disk"]["same_filesystem"] is True
    assert found["disk"]["state_free_bytes"] > 0
    assert (found["disk"]["state_read_only"], found["disk"]["docker_read_only"]) == (False, False)
    assert (found["disk"]["state_filesystem"], found["disk"]["docker_disk"]) == ("ext4", "nvme0n1")
    assert found["disks"] == [{"name": "nvme0n1", "kind": "nvme", "size_bytes": 2000409264 * 512}]
    assert (found["root_filesystem"], found["cgroup"], found["iptables_raw"]) == ("ext4", 2, False)
    assert found["swap"][1]["kind"] == "file"
    assert found["packages_held"] == ["docker.io", "linux-image-tegra", "nvidia-l4t-core"]
    assert found["unattended_upgrades"] == {"installed": False, "enabled": False}
    assert found["default_target"] == "graphical.target"
    assert found["watchdog"] == {"device": True, "runtime_seconds": 120}
    assert found["container_toolkit"] is None
    assert found["docker"]["version"] is None
    assert found["boot_id"] == "0e8c7a1e-9a3c-4b6e-8f5f-0d8f6a1c2b3d"
    assert found["uptime_seconds"] == 77.5
    assert json.dumps(found)


def test_status_gets_the_light_subset(thor: Path) -> None:
    found = facts.status_facts(make_context(thor, Runner()))
    assert (found.disk_free_bytes or 0) > 0
    assert (found.l4t, found.power_mode) == ("38.4.0", "120W")
    assert (found.memory_total_bytes, found.temperature_celsius) == (128790528 * 1024, 38.875)


def test_a_host_that_is_no_jetson_has_the_same_keys_and_nulls(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    found = encode(facts.collect(ctx))
    assert set(found) == KEYS
    known = {"architecture", "hostname", "kernel", "cpus", "disk", "docker", "clock_synchronized"}
    said_in_parts = {"unattended_upgrades", "watchdog", "network", "nginx", "container"}
    for key in KEYS - known - said_in_parts:
        assert found[key] is None, key
    assert found["unattended_upgrades"] == {"installed": None, "enabled": None}
    assert found["watchdog"] == {"device": False, "runtime_seconds": None}
    assert found["network"] == {"management": None, "connections": []}
    assert found["nginx"] == {"stream": False, "edge": False}
    assert found["docker"]["installed"] is False
    shown = facts.status_facts(ctx)
    assert shown == facts.StatusFacts(disk_free_bytes=shown.disk_free_bytes)


@pytest.mark.parametrize("garbage", ["", "exit 1\n", "printf '\\377\\376\\n'\n", "echo nonsense; exit 0\n"])
def test_tools_that_fail_or_babble_give_null(thor: Path, garbage: str) -> None:
    for tool in (thor.parent / "bin").iterdir():
        put_tool(thor.parent / "bin", tool.name, garbage)
    (thor / "proc/config.gz").write_bytes(b"\x1f\x8bnonsense")
    found = encode(facts.collect(make_context(thor, Runner())))
    for key in ("gpu", "power_mode", "power_milliwatts", "temperature_celsius", "l4t_core_package", "clocks",
                "default_target", "iptables_raw"):  # fmt: skip
        assert found[key] is None, key
    assert found["gpu_processes"] in (None, [])
    assert found["watchdog"]["runtime_seconds"] is None
    assert found["l4t"] is not None


def test_thermal_zones_stand_in_for_tegrastats(thor: Path) -> None:
    (thor.parent / "bin/tegrastats").unlink()
    zone = thor / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("tj-thermal\n")
    (zone / "temp").write_text("41250\n")
    assert facts.status_facts(make_context(thor, Runner())).temperature_celsius == 41.25


def test_tegrastats_does_not_outlive_the_question(thor: Path) -> None:
    marker = thor.parent / "pid"
    put_tool(
        thor.parent / "bin", "tegrastats", f"echo $$ >{marker}\necho 'RAM 1/2MB tj@30C'\nexec sleep 600\n"
    )
    assert device.sensors(make_context(thor, Runner()))[0] == {"tj": 30.0}
    assert not Path(f"/proc/{marker.read_text().strip()}").exists()


def test_a_stuck_source_is_left_behind() -> None:
    log, never = logging.getLogger("test"), threading.Event()
    started = time.monotonic()
    stuck = Source("stuck", never.wait)
    good, broken = Source("good", lambda: 7), Source("broken", lambda: 1 / 0)
    gather(stuck, good, broken, seconds=0.3, log=log)
    assert (stuck.value, good.value, broken.value) == (None, 7, None)
    assert time.monotonic() - started < 30
    never.set()


def test_images_of_the_containerd_store_lie_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def filesystem(path: Path) -> device.Filesystem:
        asked.append(path)
        return device.Filesystem(1, len(asked), read_only=False)

    info: Mapping[str, Any] = json.loads(text("docker-info.29.composed.json"))
    monkeypatch.setattr(device, "filesystem", filesystem)
    monkeypatch.setattr("thorctl.agent.core.docker_api.DockerApi.info", lambda _: info)
    found = encode(facts.collect(make_context(tmp_path)))
    assert asked == [tmp_path / "var/lib/thor", tmp_path / "var/lib/containerd"]
    assert found["disk"]["same_filesystem"] is False
    assert found["docker"]["image_store"] == "containerd"


@pytest.mark.parametrize("package", ["docker.io", "docker-ce"])
def test_a_docker_that_does_not_answer_is_installed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(device, "packages", lambda _: {package: "29.1"})
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/dockerd").touch()
    found = encode(facts.collect(make_context(tmp_path)))["docker"]
    assert (found["installed"], found["package"], found["version"]) == (True, package, None)


@pytest.mark.parametrize(
    ("files", "settable"),
    [
        ({"proc/self/status": "Name:\tx\nCapBnd:\t000001ffffffffff\n"}, True),
        ({"proc/self/status": "Name:\tx\nCapBnd:\t00000000a80425fb\n"}, False),  # Docker's own set
        ({"proc/self/status": "CapBnd:\t000001ffffffffff\n", "run/systemd/container": "docker"}, False),
        ({"proc/self/status": "Name:\tx\n"}, None),
        ({}, None),
    ],
)
def test_who_may_set_the_clock(tmp_path: Path, files: dict[str, str], settable: bool | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert device.clock_settable(make_context(tmp_path)) is settable


def test_the_clock_is_judged_as_timedatectl_does() -> None:
    asked = subprocess.run(
        ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        assert device.clock_synchronized() is (asked.stdout.strip() == "yes")
    else:
        assert device.clock_synchronized() in (True, False)
