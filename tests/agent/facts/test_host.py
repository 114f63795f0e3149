"""What a device says of its disks and kernel, where it is not said plainly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.read_capture import text
from tests.support.device_double import Programs, make_context
from thorctl.agent.core.runner import Completed
from thorctl.agent.facts import host as device_host
from thorctl.agent.parsers.mountinfo import Mount
from thorctl.protocol.facts import Disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PCI = "sys/devices/pci0000:00/0000:01:00.0"


def block(root: Path, place: str, *links: str, partition: bool = False, slaves: tuple[str, ...] = ()) -> None:
    """A block device at ``place`` below the root, found by ``links``, made of ``slaves``."""
    made = root / place
    made.mkdir(parents=True, exist_ok=True)
    if partition:
        (made / "partition").write_text("1\n")
    for slave in slaves:
        (made / "slaves").mkdir(exist_ok=True)
        (made / "slaves" / slave.rpartition("/")[2]).symlink_to(root / slave)
    for link in links:
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(made)


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    """Two NVMe disks: the first with a partition, both below a volume group's logical volumes."""
    first, second = f"{PCI}/nvme/nvme0/nvme0n1", f"{PCI}/nvme/nvme1/nvme1n1"
    block(tmp_path, f"{first}/nvme0n1p1", "sys/dev/block/259:1", "sys/class/block/nvme0n1p1", partition=True)
    block(tmp_path, first, "sys/block/nvme0n1", "sys/dev/block/259:0")
    block(tmp_path, second, "sys/block/nvme1n1", "sys/dev/block/259:5")
    virtual = "sys/devices/virtual/block"
    block(
        tmp_path, f"{virtual}/dm-0", "sys/block/dm-0", "sys/dev/block/253:0", slaves=(f"{first}/nvme0n1p1",)
    )
    both = (f"{first}/nvme0n1p1", second)
    block(tmp_path, f"{virtual}/dm-1", "sys/block/dm-1", "sys/dev/block/253:1", slaves=both)
    block(tmp_path, f"{virtual}/loop0", "sys/block/loop0", "sys/dev/block/7:0")
    return tmp_path


@pytest.mark.parametrize(
    ("number", "source", "disk"),
    [
        ("259:1", "/dev/nvme0n1p1", "nvme0n1"),
        ("259:5", "/dev/nvme1n1", "nvme1n1"),
        ("253:0", "/dev/mapper/root", "nvme0n1"),  # LVM or encryption over one disk
        ("253:1", "/dev/mapper/wide", None),  # over two: neither is the one
        ("0:31", "/dev/nvme0n1p1", "nvme0n1"),  # btrfs
        ("0:31", "overlay", None),
        ("7:0", "/dev/loop0", None),
        ("259:9", "/dev/gone", None),
    ],
)
def test_the_disk_under_a_mount(disks: Path, number: str, source: str, disk: str | None) -> None:
    assert device_host.disk_under(make_context(disks), Mount(number, "/", "ext4", source)) == disk


def test_only_disks_are_disks_and_their_bus_is_told(disks: Path) -> None:
    found = device_host.disks(make_context(disks))
    assert found == (Disk("nvme0n1", "nvme"), Disk("nvme1n1", "nvme"))
    assert device_host.disk_under(make_context(disks), None) is None


def test_a_kernel_without_config_gz_is_read_in_boot(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    assert device_host.iptables_raw(ctx) is None
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/config-{os.uname().release}").write_text(text("kernel-config.r38.composed"))
    assert device_host.iptables_raw(ctx) is False
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/ip_tables_names").write_text("filter\nraw\n")
    assert device_host.iptables_raw(ctx) is True  # loaded, whatever is written elsewhere


def test_a_unit_that_is_off_says_so_with_a_failing_exit_status(tmp_path: Path) -> None:
    class Off(Programs):
        def run(self, argv: Sequence[str], **_: Any) -> Completed:
            if argv[0] == "systemctl":
                return Completed(tuple(argv), 1, "masked\n", "")
            return super().run(argv)

    ctx = make_context(tmp_path, Off({"apt-config": text("apt-config.ubuntu")}))
    assert device_host.upgrades_by_itself(ctx) == (True, False)
    assert device_host.upgrades_by_itself(make_context(tmp_path)) == (None, None)
