"""Parsers of what is around the engine: apt, swap, mounts, kernel, systemd, disks, module."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.read_capture import text
from thorctl.agent.parsers import apt, block, kernel_config, module, mountinfo, swaps, systemd
from thorctl.protocol.facts import Swap

GIB = 2**30
THOR = ["nvidia,p3834-0008", "nvidia,tegra264"]


def test_holds() -> None:
    assert apt.parse_holds(text("apt-mark-showhold")) == ["docker.io", "linux-image-tegra", "nvidia-l4t-core"]
    assert apt.parse_holds("") == []
    assert apt.parse_holds(None) is None


@pytest.mark.parametrize(
    ("configuration", "upgrades"),
    [
        (text("apt-config.ubuntu"), True),
        (text("apt-config.ubuntu").replace('Upgrade "1"', 'Upgrade "0"'), False),
        (text("apt-config.ubuntu").replace('Upgrade "1"', 'Upgrade "7"'), True),
        (text("apt-config.ubuntu") + 'APT::Periodic::Enable "0";\n', False),
        ("", False),
        (None, None),
    ],
)
def test_unattended_upgrades(configuration: str | None, upgrades: bool | None) -> None:
    assert apt.parse_periodic(configuration) is upgrades


def test_swap() -> None:
    assert swaps.parse_swaps(text("swaps.composed")) == [
        Swap("/dev/zram0", 4593700 * 1024, 0, "zram"),
        Swap("/swap file", 33554428 * 1024, 1024 * 1024, "file"),
    ]
    assert swaps.parse_swaps(text("swaps.none")) == []


@pytest.mark.parametrize("unread", [None, "", "nonsense\n", text("swaps.none") + "/swapfile file x y z\n"])
def test_unreadable_swap_is_none(unread: str | None) -> None:
    assert swaps.parse_swaps(unread) is None


@pytest.mark.parametrize(
    ("capture", "path", "kind", "source"),
    [
        ("mountinfo.ubuntu.composed", "/", "ext4", "/dev/nvme0n1p1"),
        ("mountinfo.ubuntu.composed", "/var/lib/thor", "ext4", "/dev/nvme0n1p1"),
        ("mountinfo.ubuntu.composed", "/mnt/data disk/docker", "ext4", "/dev/nvme1n1p1"),
        ("mountinfo.ubuntu.composed", "/mnt/data", "ext4", "/dev/nvme0n1p1"),
        ("mountinfo.overlay-root.composed", "/var/lib/docker", "overlay", "overlayroot"),
        ("mountinfo.container", "/", "overlay", "overlay"),
        ("mountinfo.container", "/var/lib/thor", "ext4", "/dev/vda"),
    ],
)
def test_what_a_path_lies_on(capture: str, path: str, kind: str, source: str) -> None:
    found = mountinfo.mount_of(mountinfo.parse_mountinfo(text(capture)), path)
    assert found is not None
    assert (found.type, found.source) == (kind, source)


@pytest.mark.parametrize(
    ("capture", "version"), [("mountinfo.ubuntu.composed", 2), ("mountinfo.container", 1)]
)
def test_cgroups(capture: str, version: int) -> None:
    assert mountinfo.cgroup_version(mountinfo.parse_mountinfo(text(capture))) == version


@given(st.text())
def test_mounts_of_any_text(noise: str) -> None:
    found = mountinfo.parse_mountinfo(noise)
    assert mountinfo.cgroup_version(found) in (None, 1, 2)


def test_without_mounts_nothing_is_known() -> None:
    assert mountinfo.parse_mountinfo(None) == []
    assert mountinfo.mount_of([], "/") is None
    assert mountinfo.cgroup_version([]) is None


@pytest.mark.parametrize(("option", "there"), [("IP_NF_RAW", False), ("IP_NF_NAT", True), ("IP_NF", False)])
def test_kernel_options(option: str, there: bool) -> None:
    assert kernel_config.built(text("kernel-config.r38.composed"), option) is there


@pytest.mark.parametrize("unread", [None, "", "IP_NF_RAW=y\n"])
def test_what_is_no_kernel_configuration_says_nothing(unread: str | None) -> None:
    assert kernel_config.built(unread, "IP_NF_RAW") is None


def test_systemd() -> None:
    assert systemd.parse_default_target("graphical.target\n") == "graphical.target"
    assert systemd.parse_default_target("Failed to connect to bus\n") is None
    assert [systemd.parse_enabled(word) for word in ("enabled\n", "static", "masked", "disabled")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert [systemd.parse_enabled(word) for word in (None, "", "bad", "transient")] == [None] * 4


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("t 120000000\n", 120),
        ("t 0\n", 0),
        (f"t {2**64 - 1}\n", None),
        ("s 120", None),
        ("", None),
        (None, None),
    ],
)
def test_the_watchdogs_patience(said: str | None, seconds: int | None) -> None:
    assert systemd.parse_watchdog_seconds(said) == seconds


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", "nvme"),
        ("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "nvme"),
        ("/sys/devices/platform/bus@0/3460000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", "mmc"),
        ("/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host0/block/sda", "usb"),
        ("/sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda", "virtio"),
        ("/sys/devices/virtual/block/dm-0", None),
    ],
)
def test_what_a_disk_is_attached_by(place: str, kind: str | None) -> None:
    assert block.kind_of(place) == kind


def test_disks_by_name() -> None:
    names = ["nvme0n1", "mmcblk0", "sda", "vda", "loop0", "ram1", "zram0", "dm-0", "md127", "sr0"]
    assert [name for name in names if block.is_disk(name)] == ["nvme0n1", "mmcblk0", "sda", "vda"]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"tnspec": "3834-0008-400-G.5-1-0-jetson-agx-thor-devkit-"}, "T5000"),
        ({"tnspec": "3834-0000-400--1-0-jetson-agx-thor-t4000-"}, "T4000"),
        # The board as flashed outranks the model, which a carrier's maker may have copied.
        ({"tnspec": "x-t4000-y", "model": "NVIDIA Jetson AGX Thor Developer Kit"}, "T4000"),
        ({"model": "NVIDIA Jetson AGX Thor Developer Kit"}, "T5000"),
        ({"model": "Acme Carrier (NVIDIA Jetson T4000)"}, "T4000"),
        ({"gpu": "NVIDIA T5000"}, "T5000"),
        ({"gpu": "NVIDIA Thor", "compatible": THOR, "memory_bytes": 125772 * 2**20}, "T5000"),
        ({"gpu": "NVIDIA Thor", "compatible": THOR, "memory_bytes": 61 * GIB}, "T4000"),
        # A simulated device has the SoC and somebody else's memory; another SoC may have a Thor's.
        ({"compatible": THOR, "memory_bytes": 24 * GIB}, None),
        ({"compatible": ["nvidia,tegra234"], "memory_bytes": 61 * GIB}, None),
        ({"tnspec": "3834-0008", "compatible": THOR}, None),
        ({}, None),
    ],
)
def test_module(told: dict[str, Any], wanted: str | None) -> None:
    unknown: dict[str, Any] = dict.fromkeys(("tnspec", "model", "gpu", "compatible", "memory_bytes"))
    assert module.module_of(**{**unknown, **told}) == wanted
