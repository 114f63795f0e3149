"""Numbers as the device's tools print them: a number, or one of many ways to say there is none."""

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
