"""Maintenance windows of a site, in its local time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from thorctl.inventory.maintenance import Window

# Windows begin and end on whole minutes, as do all clock changes since 1972.
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CLOCK_STEP = timedelta(hours=6)  # no zone changes its clocks twice within it
# A window that falls into the skipped hour of a clock change opens a week later.
LONGEST_SEARCH_DAYS = 2 * 7


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that name.

    Raises:
        ValueError: there is none, or this machine lacks it.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone of this machine, such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The windows of one site. ``margin``: minutes before the end in which no change begins."""

    zone: ZoneInfo
    windows: tuple[Window, ...]
    margin: int = 0

    def is_open(self, now: datetime) -> bool:
        """Return whether a change may begin at ``now``: a window is open for at least ``margin`` minutes."""
        last = now + self.margin * MINUTE
        return self._open(now) and self._open(last) and all(map(self._open, self._edges(now, last)))

    def opens(self, now: datetime) -> datetime | None:
        """Return the first time from ``now`` on at which a change may begin; None: not within two weeks."""
        if self.is_open(now):
            return now
        begin = now.astimezone(UTC)
        for _ in range(LONGEST_SEARCH_DAYS):
            end = begin + DAY
            found = next(filter(self.is_open, self._edges(begin, end)), None)
            if found is not None:
                return found
            begin = end
        return None

    def _open(self, now: datetime) -> bool:
        wall = now.astimezone(self.zone)
        return any(window.is_open(wall) for window in self.windows)

    def _edges(self, after: datetime, until: datetime) -> list[datetime]:
        """Return every time in ``(after, until]`` at which a window may open or close, in order.

        A local time that occurs twice gives two times. One that is skipped gives times without a change; what
        would open or close in the skipped hour does so at the clock change.
        """
        day = after.astimezone(self.zone).date() - DAY  # its windows may end today
        found = set(self._clock_changes(after, until))
        while day <= until.astimezone(self.zone).date():
            midnight = datetime.combine(day, time())
            for window in self.windows:
                for minutes in (window.begin, window.begin + window.minutes):
                    wall = midnight + minutes * MINUTE
                    found |= {wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
            day += DAY
        return sorted(moment for moment in found if after < moment <= until)

    def _clock_changes(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the times at which the zone's offset from UTC changes, to the minute."""
        found, low = [], after.astimezone(UTC).replace(second=0, microsecond=0)
        while low < until:
            high = low + CLOCK_STEP
            if self._offset(low) != self._offset(high):
                left, right = low, high
                while right - left > MINUTE:
                    middle = left + (right - left) // MINUTE // 2 * MINUTE
                    if self._offset(middle) == self._offset(low):
                        left = middle
                    else:
                        right = middle
                found.append(right)
            low = high
        return found

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self.zone).utcoffset()
