"""/proc/driver/nvidia/version. On R38.4 it has no version ('TempVersion'): None."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"Kernel Module(?: for \w+)?\s+(\d+\.\d+(?:\.\d+)?)\s")


def parse_driver_version(text: str | None) -> str | None:
    """Return the kernel driver's version such as '580.00'; None if the file has none."""
    found = _NUMBER.search(text or "")
    return found.group(1) if found else None
