"""systemd's default target, watchdog, and whether a unit is enabled."""

from __future__ import annotations

import re

from thorctl.agent.parsers.numbers import integer

_NEVER_STARTS = {"disabled", "masked", "masked-runtime", "not-found"}
_STARTS = {"enabled", "enabled-runtime", "static", "generated", "linked", "linked-runtime", "alias"}
# USEC_INFINITY: `RuntimeWatchdogSec=default`, the driver's own time-out.
_UNSAID_MICROSECONDS = 2**64 - 1


def parse_default_target(text: str | None) -> str | None:
    """Return the answer of `systemctl get-default`, such as 'multi-user.target'."""
    found = (text or "").strip()
    return found if re.fullmatch(r"[\w@.-]+\.target", found) else None


def parse_enabled(text: str | None) -> bool | None:
    """Parse the answer of `systemctl is-enabled`; None for one that is neither on nor off."""
    word = (text or "").strip()
    return True if word in _STARTS else False if word in _NEVER_STARTS else None


def parse_watchdog_seconds(text: str | None) -> int | None:
    """Parse busctl's RuntimeWatchdogUSec, 't 120000000', to seconds; 0 = off; None without a time."""
    kind, _, number = (text or "").strip().partition(" ")
    microseconds = integer(number) if kind == "t" else None
    if microseconds is None or microseconds >= _UNSAID_MICROSECONDS:
        return None
    return microseconds // 1_000_000
