"""/proc/meminfo. On a Thor CUDA counts MemFree only, so both it and MemAvailable matter."""

from __future__ import annotations

import re

from thorctl.protocol.facts import Memory

_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


def parse_meminfo(text: str | None) -> Memory | None:
    """Return total, available, free memory and swap, in bytes; None without MemTotal."""
    sizes = {name: int(value) * 1024 for name, value in _LINE.findall(text or "")}
    if "MemTotal" not in sizes:
        return None
    return Memory(
        total_bytes=sizes["MemTotal"],
        available_bytes=sizes.get("MemAvailable"),
        free_bytes=sizes.get("MemFree"),
        swap_total_bytes=sizes.get("SwapTotal"),
    )
