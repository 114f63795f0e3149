"""Numbers in the output of the device's tools, which have many forms for a missing one."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def integer(text: str | None) -> int | None:
    """Return the integer that ``text`` wholly is (blanks aside), else None ('[N/A]', 'off', '')."""
    stripped = (text or "").strip()
    return int(stripped) if _INTEGER.fullmatch(stripped) else None


def decimal(text: str | None) -> float | None:
    """Return the decimal number that ``text`` wholly is, else None; 'nan' and 'inf' are None too."""
    stripped = (text or "").strip()
    return float(stripped) if _DECIMAL.fullmatch(stripped) else None
