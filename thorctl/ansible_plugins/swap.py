"""Compute the size of a swap file."""

from __future__ import annotations

import re

GIB = 1 << 30
_UNITS = {"M": 1 << 20, "G": GIB, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)([MGT]?)")
AUTO_SHARE = 4


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
