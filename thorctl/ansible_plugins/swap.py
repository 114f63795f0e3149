"""Compute the size of a swap file, name its unit, and check whether it is possible."""

from __future__ import annotations

import re
from typing import Any

GIB = 1 << 30
_UNITS = {"M": 1 << 20, "G": GIB, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)([MGT]?)")
AUTO_SHARE = 4
SHARE_OF_FREE = 4  # the model and its image need the rest
# swapon takes a preallocated file only where its blocks stay in place.
FILESYSTEMS = frozenset({"ext4", "xfs"})


def swap_bytes(size: str | int, memory_bytes: int | None) -> int:
    """Return the bytes of ``16G``, ``512M``, ``0``; for ``auto`` a quarter of the memory, in whole GiB.

    This is 31 for a Thor of 122 GiB: reported to suffice when weights are mapped and copied at once.

    Raises:
        ValueError: an invalid size, or ``auto`` with unknown memory.
    """
    text = str(size).strip()
    if text == "auto":
        if memory_bytes is None:
            raise ValueError(
                "thor_host_swap_size: auto needs the size of the memory, which could not be read"
            )
        return max(1, round(memory_bytes / AUTO_SHARE / GIB)) * GIB
    found = _SIZE.fullmatch(text)
    if found is None or (not found[2] and text != "0"):
        raise ValueError(f"thor_host_swap_size: {text!r} is not a size; write 16G, 512M, auto, 0, or null")
    return int(found[1]) * _UNITS.get(found[2], 0)


def swap_unit(path: str) -> str:
    """Name of the ``.swap`` unit of a file, as ``systemd-escape --path`` makes it."""
    plain = path.strip("/")
    escaped = re.sub(
        r"^\.|[^\w:./]",
        lambda one: "".join(f"\\x{byte:02x}" for byte in one[0].encode()),
        plain,
        flags=re.ASCII,
    )
    return f"{escaped.replace('/', '-')}.swap"


def swap_problem(
    wanted: int, found: int, *, area: dict[str, Any] | None, disk: str, available: int, resize: bool
) -> str:
    """Why the swap file cannot be made, replaced or removed: ``code: message — remedy``; empty if it can.

    Args:
        wanted: bytes that it should have; 0: none.
        found: bytes that it has; 0: there is none.
        area: the swap area as facts has it; None: the file is not in use.
        disk: ``stat --file-system --format "%T %a %S"`` of its directory: type, free blocks, size of a block.
        available: bytes of memory available without swapping.
        resize: whether a file of another size is replaced.
    """
    if wanted and found and not resize and wanted != found:
        return (
            f"swap_other_size: the swap file has {found / GIB:.1f} GiB, not {wanted / GIB:.1f} — replace it "
            "with -e thor_host_swap_resize=true, or keep it with thor_host_swap_size: null"
        )
    used = area["used_bytes"] if area and wanted != found else 0
    if used > available // 2:
        return (
            f"swap_in_use: {used / GIB:.1f} GiB are swapped out and memory has no room for them — "
            "stop the engine (`systemctl stop thor-engine`) and run this again"
        )
    if wanted in (0, found):
        return ""
    kind, blocks, block = disk.split()
    free = int(blocks) * int(block) + found
    if kind.replace("ext2/ext3", "ext4") not in FILESYSTEMS:
        return (
            f"swap_filesystem: a swap file on {kind} does not work or does not last — name a place on ext4 "
            "or xfs with thor_host_swap_path, or none with thor_host_swap_size: null"
        )
    if wanted > free // SHARE_OF_FREE:
        return (
            f"disk_too_small: {wanted / GIB:.1f} GiB of swap are more than a quarter of the {free / GIB:.1f} "
            "GiB that are free — free some, set a smaller thor_host_swap_size, or null to do without"
        )
    return ""
