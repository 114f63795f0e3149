"""Small files every Linux has: os-release, uptime."""

from __future__ import annotations

import shlex

from thorctl.agent.parsers.numbers import decimal


def parse_os_release(text: str | None) -> str | None:
    """Return PRETTY_NAME, such as 'Ubuntu 24.04.3 LTS'."""
    for line in (text or "").splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == "PRETTY_NAME":
            try:
                words = shlex.split(value)
            except ValueError:
                return None
            return words[0] if len(words) == 1 else None
    return None


def parse_uptime(text: str | None) -> float | None:
    """Return seconds since boot, the first number of /proc/uptime."""
    words = (text or "").split()
    return decimal(words[0]) if words else None
