"""The agent's clock; tests pass their own. Text form: RFC 3339, UTC, whole seconds."""

from __future__ import annotations

import calendar
import time


class Clock:
    """The wall clock, clocks that are never set, and sleeping.

    The wall clock is for display: without a battery a device boots in 1970 and jumps at its first time
    synchronisation. Decisions use a clock that is never set.
    """

    def now(self) -> float:
        """Return the seconds since 1970 of the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary start; never jumps."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Return the seconds since boot, suspend included; equal in all processes; never jumps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        time.sleep(seconds)

    def now_text(self) -> str:
        """Return the wall clock as ``2026-11-23T12:00:00Z``."""
        return as_text(self.now())


def as_text(seconds: float) -> str:
    """Format seconds since 1970 as RFC 3339 UTC text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def as_seconds(text: str) -> float:
    """Parse the text of ``as_text``.

    Raises:
        ValueError: the text has another form.
    """
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
