"""Time as the agent sees it; tests pass a clock of their own. Text form: RFC 3339, UTC, whole seconds."""

from __future__ import annotations

import calendar
import time


class Clock:
    """Wall clock, the clocks that nobody sets, and sleeping.

    The wall clock is for people to read: a device without a battery boots in 1970, and jumps when it finds a
    time server. What decides anything is measured by a clock that counts on.
    """

    def now(self) -> float:
        """Seconds since 1970, wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never jumps."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Seconds since this machine was switched on, sleep included; the same for all; never jumps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def now_text(self) -> str:
        """The wall clock as ``2026-11-23T12:00:00Z``."""
        return as_text(self.now())


def as_text(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 UTC text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def as_seconds(text: str) -> float:
    """The reverse of ``as_text``.

    Raises:
        ValueError: not in that form.
    """
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
