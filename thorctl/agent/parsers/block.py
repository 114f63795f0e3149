"""Kinds of block devices, from their path in sysfs, which names their bus."""

from __future__ import annotations

import re

_BUS = re.compile(r"/(nvme|mmc|usb|virtio|ata)(?:-subsys)?\d")
_NO_DISK = re.compile(r"(?:loop|ram|zram|dm-|md|nbd|sr|fd)\d*$")


def kind_of(sysfs_path: str) -> str | None:
    """Return nvme, mmc, usb, virtio or ata from where /sys/class/block/<name> points; None for others.

    The last bus in the path counts: a disk in a USB enclosure is also below PCIe.
    """
    found = _BUS.findall(sysfs_path)
    return str(found[-1]) if found else None


def is_disk(name: str) -> bool:
    """Return whether a name of /sys/block is a disk, not a device made of memory, files or other disks."""
    return _NO_DISK.match(name) is None
