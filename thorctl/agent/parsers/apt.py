"""APT: held packages, and whether automatic upgrades are on."""

from __future__ import annotations

import re

_PERIODIC = re.compile(r'^APT::Periodic::(Enable|Unattended-Upgrade) "([^"]*)";$', re.MULTILINE)
_NEVER = {"", "0"}


def parse_holds(text: str | None) -> list[str] | None:
    """Return the packages of `apt-mark showhold`, sorted; None if it was not read."""
    return None if text is None else sorted(line.strip() for line in text.splitlines() if line.strip())


def parse_periodic(text: str | None) -> bool | None:
    """Return whether `apt-config dump APT::Periodic` lets apt's timer upgrade packages; None if not read.

    APT's own defaults: the periodic jobs are on (Enable), the upgrade among them is off.
    """
    if text is None:
        return None
    settings = dict(_PERIODIC.findall(text))
    return settings.get("Enable", "1") not in _NEVER and settings.get("Unattended-Upgrade", "") not in _NEVER
