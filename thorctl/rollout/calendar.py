"""When a site may be changed: its maintenance windows, read off the clock on its own wall. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from thorctl.maintenance import DAY_MINUTES

if TYPE_CHECKING:
    from thorctl.maintenance import Window

# Windows begin and end on whole minutes, and so do all changes of clocks since 1972.
MINUTE = timedelta(minutes=1)
# A window that the spring's change of clocks swallows opens a week later.
LONGEST_SEARCH = 2 * 7 * DAY_MINUTES


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
        return any(window.is_open(wall) for window in self.windows)
