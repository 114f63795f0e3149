"""Maintenance windows: when a site may be changed, in the site's own wall-clock time. Pure.

A window is open when the wall clock of its zone says so: nothing is computed with local times, so the hour
that a change of the clocks leaves out or gives twice needs no rule of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
# Windows begin and end on whole minutes, and so do all changes of clocks since 1972.
MINUTE = timedelta(minutes=1)
# A window that the spring's change of clocks swallows opens a week later.
LONGEST_SEARCH = 2 * WEEK_MINUTES

_FORM = re.compile(r"(?:(?P<days>[A-Za-z,-]+) )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Open from ``start`` to ``end``, minutes after midnight, on ``days`` (0 = Monday, of its start).

    ``end`` lies after ``start``; beyond 1440 it lies on the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    @property
    def minutes(self) -> int:
        """How long it is open, by the clock on the wall."""
        return self.end - self.start

    def open_at(self, day: int, minute: int) -> bool:
        """Whether it is open at a wall-clock time; ``day`` 0 = Monday."""
        today = day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % 7 in self.days and minute + DAY_MINUTES < self.end
        return today or yesterday


def parse(text: str) -> Window:
    """Reads ``Mon-Fri 22:00-05:00``, ``Sat,Sun 00:00-24:00`` or, every day, ``22:00-05:00``.

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    form = _FORM.fullmatch(text)
    if not form:
        raise ValueError(f"{text!r} is not a window such as 'Mon-Fri 22:00-05:00'")
    start, end = _minute(form["start"]), _minute(form["end"])
    if start in {end, DAY_MINUTES}:
        raise ValueError(f"{text!r} is never open: it ends where it begins; a whole day is 00:00-24:00")
    return Window(_days(form["days"]), start, end if end > start else end + DAY_MINUTES)


def _minute(text: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if hour * 60 + minute > DAY_MINUTES or minute > 59:
        raise ValueError(f"{text} is no time of day")
    return hour * 60 + minute


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        days |= {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    return frozenset(days)


def _day(word: str) -> int:
    if word not in DAYS:
        raise ValueError(f"{word!r} is no day; days are {', '.join(DAYS)}")
    return DAYS.index(word)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        ValueError: there is none, or this machine does not know it.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone that this machine knows, such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The windows of one site. ``margin``: minutes before the end in which nothing begins any more."""

    zone: ZoneInfo
    windows: tuple[Window, ...]
    margin: int = 0

    def is_open(self, now: datetime) -> bool:
        """Whether a change may begin at ``now``: open, and for another ``margin`` minutes."""
        return self._open(now) and self._open(now + self.margin * MINUTE)

    def opens(self, now: datetime) -> datetime | None:
        """The first moment from ``now`` on at which a change may begin; None: not within two weeks."""
        if self.is_open(now):
            return now
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        for _ in range(LONGEST_SEARCH):
            minute += MINUTE
            if self.is_open(minute):
                return minute
        return None

    def _open(self, now: datetime) -> bool:
        wall = now.astimezone(self.zone)
        minute = wall.hour * 60 + wall.minute
        return any(window.open_at(wall.weekday(), minute) for window in self.windows)


def longest(windows: Sequence[Window]) -> int:
    """Minutes of the longest window; windows that touch count as they are written."""
    return max(window.minutes for window in windows)
