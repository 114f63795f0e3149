"""/proc/meminfo. On a Thor CUDA counts MemFree only, so both it and MemAvailable matter."""

from __future__ import annotations

import re

_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_NAMES = {
    "total_bytes": "MemTotal",
    "available_bytes": "MemAvailable",
    "free_bytes": "MemFree",
    "swap_total_bytes": "SwapTotal",
}


def parse_meminfo(text: str | None) -> dict[str, int | None] | None:
    """Return total, available, free memory and swap, in bytes; None without MemTotal."""
    kibibytes = {name: int(value) for name, value in _LINE.findall(text or "")}
    if "MemTotal" not in kibibytes:
        return None
    return {key: kibibytes[name] * 1024 if name in kibibytes else None for key, name in _NAMES.items()}
