"""Quoting for systemd units: systemd.service(5) "COMMAND LINES", systemd.unit(5) "SPECIFIERS"."""

from __future__ import annotations

import re

_BARE = re.compile(r"[A-Za-z0-9_./:@=,+-]+")


def word(value: object) -> str:
    """Quote ``value`` as exactly one literal word of an ``ExecStart=`` line.

    Raises:
        ValueError: for an empty value or one with a line break or another control character.
    """
    text = str(value)
    if not text or not text.isprintable():
        raise ValueError(f"cannot stand in a systemd unit: {text!r}")
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
