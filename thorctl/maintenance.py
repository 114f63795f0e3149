"""Maintenance windows: hours of the week, in the device's own time, in which it may be disturbed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_SPAN = re.compile(
    r"(?:(?P<daily>daily)|(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?)\s+"
    r"(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)"
)


@dataclass(frozen=True)
class Window:
    """One span: it opens at ``begin`` on each of ``days`` and lasts ``minutes``, also past midnight.

    Attributes:
        days: 0 is Monday.
        begin: minutes after midnight.
        minutes: at least 1, at most a day.
    """

    days: frozenset[int]
    begin: int
    minutes: int

    def is_open(self, now: datetime) -> bool:
        """Whether ``now``, the device's local time, lies in it; its end is not part of it."""
        minute = now.hour * 60 + now.minute
        today = now.weekday() in self.days and 0 <= minute - self.begin < self.minutes
        # What opened yesterday may still be open.
        late = minute + DAY_MINUTES - self.begin
        return today or ((now.weekday() - 1) % 7 in self.days and late < self.minutes)


def is_open(text: str, now: datetime) -> bool:
    """Whether one of the windows of ``text`` is open at ``now``, the device's local time.

    Raises:
        ThorError: ``maintenance_window_invalid``.
    """
    return any(window.is_open(now) for window in parse(text))


def parse(text: str) -> tuple[Window, ...]:
    """Reads ``Sat 02:00-04:00``, ``Mon-Fri 23:00-05:00``, ``daily 01:00-03:00``; several by commas.

    Raises:
        ThorError: ``maintenance_window_invalid``.
    """
    return tuple(_span(part.strip(), text) for part in text.lower().split(","))


def _span(part: str, text: str) -> Window:
    found = _SPAN.fullmatch(part)
    if found is None:
        raise _invalid(text, f"{part!r} is no day with hours")
    begin, end = _minutes(found["begin"], text), _minutes(found["end"], text)
    if begin in (end, DAY_MINUTES):
        raise _invalid(text, f"{part!r} is empty; the whole day is 00:00-24:00")
    days = frozenset(range(7)) if found["daily"] else _days(found["first"], found["last"], text)
    return Window(days, begin, (end - begin) % DAY_MINUTES or DAY_MINUTES)


def _days(first: str, last: str | None, text: str) -> frozenset[int]:
    for name in (first, last or first):
        if name not in DAYS:
            raise _invalid(text, f"there is no day {name!r}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _minutes(clock: str, text: str) -> int:
    hours, minutes = (int(part) for part in clock.split(":"))
    total = hours * 60 + minutes
    if minutes >= 60 or total > DAY_MINUTES:
        raise _invalid(text, f"there is no time {clock}")
    return total


def _invalid(text: str, why: str) -> ThorError:
    remedy = "Write days and hours, such as 'Sat 02:00-04:00' or 'Mon-Fri 23:00-05:00, daily 12:00-12:30'."
    return ThorError("maintenance_window_invalid", f"{text!r} is no maintenance window: {why}.", remedy)
