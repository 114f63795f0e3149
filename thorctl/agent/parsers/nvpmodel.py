"""Power modes: the present one (`nvpmodel -q`) and the available ones (/etc/nvpmodel.conf)."""

from __future__ import annotations

import re

from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.facts import PowerMode

_CURRENT = re.compile(r"^NV Power Mode: (\S+)\s*$", re.MULTILINE)
_MODEL = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
_DEFAULT = re.compile(r"^<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", re.MULTILINE)


def parse_query(text: str | None) -> PowerMode | None:
    """Parse `nvpmodel -q`: 'NV Power Mode: 120W' and the number below it, after possible warnings."""
    found = _CURRENT.search(text or "")
    if found is None:
        return None
    below = (text or "")[found.end() :].lstrip().splitlines()
    number = integer(below[0]) if below else None
    return None if number is None else PowerMode(found.group(1), number)


def parse_conf(text: str | None) -> dict[str, int]:
    """Return name → number of the modes in nvpmodel.conf; the numbers differ between devices."""
    return {name: int(number) for number, name in _MODEL.findall(text or "")}


def parse_conf_default(text: str | None) -> int | None:
    """Return the number of nvpmodel.conf's default mode."""
    found = _DEFAULT.search(text or "")
    return int(found.group(1)) if found else None
