"""/proc/swaps: the swap areas."""

from __future__ import annotations

import re

from thorctl.protocol.facts import Swap

_LINE = re.compile(r"^(\S+)\s+(file|partition)\s+(\d+)\s+(\d+)\s+-?\d+$")
_OCTAL = re.compile(r"\\([0-7]{3})")


def parse_swaps(text: str | None) -> list[Swap] | None:
    """Return every swap area, [] if there is none; None if unread or malformed."""
    header, *lines = (text or "").splitlines() or [""]
    found = [_LINE.match(line) for line in lines]
    if not header.startswith("Filename") or not all(found):
        return None
    return [_swap(*one.groups()) for one in found if one]


def _swap(path: str, kind: str, size: str, used: str) -> Swap:
    plain = _OCTAL.sub(lambda escape: chr(int(escape.group(1), 8)), path)
    return Swap(plain, int(size) * 1024, int(used) * 1024, "zram" if plain.startswith("/dev/zram") else kind)
