"""Maintenance windows: hours of the week in which a device or a site may be changed.

One grammar for the role that restarts a device, in the device's local time, and for a rollout's policy, in
the site's zone: ``Sat 02:00-04:00``, ``Mon-Fri 22:00-05:00``, ``Sat,Sun 00:00-24:00``, ``daily 01:00-03:00``
or only ``01:00-03:00``; several separated by commas; days in any case.

A window is open by the local wall clock: no local times are computed, so the hour that a clock change skips
or repeats needs no rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
EVERY_DAY = frozenset(range(7))

_HOURS = re.compile(r"(?:(?P<days>\S+)\s+)?(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)")
_DAYS = re.compile(r"[A-Za-z]{3}(-[A-Za-z]{3})?")


class InvalidWindowError(ThorError, ValueError):
    """``maintenance_window_invalid``; a ``ValueError`` too, as the policy models require."""

    def __init__(self, text: str, why: str) -> None:
        remedy = (
            "Write days and hours, such as 'Sat 02:00-04:00' or 'Mon-Fri 23:00-05:00, daily 12:00-12:30'."
        )
        super().__init__(
            "maintenance_window_invalid", f"{text!r} is not a maintenance window: {why}.", remedy
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A window that opens at ``begin`` on each of ``days`` for ``minutes``, also past midnight.

    Attributes:
        days: 0 is Monday.
        begin: minutes after midnight.
        minutes: by the wall clock; at least 1, at most a day.
    """

    days: frozenset[int]
    begin: int
    minutes: int

    def is_open(self, wall: datetime) -> bool:
        """Return whether it is open at the local time ``wall``; its end is exclusive."""
        minute = wall.hour * 60 + wall.minute
        today = wall.weekday() in self.days and 0 <= minute - self.begin < self.minutes
        # Yesterday's window may still be open.
        late = minute + DAY_MINUTES - self.begin
        return today or ((wall.weekday() - 1) % 7 in self.days and late < self.minutes)


def is_open(text: str, wall: datetime) -> bool:
    """Return whether one of the windows of ``text`` is open at the local time ``wall``.

    Raises:
        InvalidWindowError: ``text`` is not valid.
    """
    return any(window.is_open(wall) for window in parse(text))


def longest(windows: Sequence[Window]) -> int:
    """Return the minutes of the longest window; adjacent windows are not joined."""
    return max(window.minutes for window in windows)


def parse(text: str) -> tuple[Window, ...]:
    """Parse one window or several.

    Raises:
        InvalidWindowError: with the fault and an example.
    """
    windows: list[Window] = []
    days: frozenset[int] = frozenset()  # days whose hours follow: `Sat,Sun 01:00-02:00`
    for part in map(str.strip, text.split(",")):
        hours = _HOURS.fullmatch(part)
        if hours is None and _DAYS.fullmatch(part):
            days |= _days(part, text)
        elif hours is None or (days and hours["days"] is None):
            raise InvalidWindowError(text, f"{part!r} is not a day with hours")
        else:
            windows.append(_window(days | _days(hours["days"], text), hours["begin"], hours["end"], text))
            days = frozenset()
    if days:
        raise InvalidWindowError(text, "its last day has no hours")
    return tuple(windows)


def _window(days: frozenset[int], first: str, last: str, text: str) -> Window:
    begin, end = _minute(first, text), _minute(last, text)
    if begin in {end, DAY_MINUTES}:
        raise InvalidWindowError(text, f"{first}-{last} is never open; the whole day is 00:00-24:00")
    return Window(days, begin, (end - begin) % DAY_MINUTES or DAY_MINUTES)


def _minute(clock: str, text: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    if minutes > 59 or hours * 60 + minutes > DAY_MINUTES:
        raise InvalidWindowError(text, f"{clock} is not a time of day")
    return hours * 60 + minutes


def _days(words: str | None, text: str) -> frozenset[int]:
    if words is None or words.lower() == "daily":
        return EVERY_DAY
    first, _, last = words.partition("-")
    begin, end = _day(first, text), _day(last or first, text)
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _day(word: str, text: str) -> int:
    if word.capitalize() not in DAYS:
        raise InvalidWindowError(text, f"{word!r} is not a day; days are {', '.join(DAYS)}")
    return DAYS.index(word.capitalize())
