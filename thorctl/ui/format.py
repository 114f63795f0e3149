"""Format numbers and times for people. None is a dash, never zero."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from thorctl.protocol.sizes import gibibytes, gigabytes

NOTHING = "–"
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def data_size(size: int | None) -> str:
    """Format bytes on a disk or of a download: ``24.1 GB``."""
    return NOTHING if size is None else gigabytes(size)


def memory_size(size: int | None) -> str:
    """Format bytes of memory: ``98.1 GiB``."""
    return NOTHING if size is None else gibibytes(size)


def celsius(degrees: float | None) -> str:
    """Format ``39 °C``."""
    return NOTHING if degrees is None else f"{degrees:.0f} °C"


def moment(time: str | None) -> str:
    """Format an RFC 3339 time by the local clock: ``2026-11-25 13:00``; other text unchanged."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else NOTHING
    except ValueError:
        return str(time)


def age(time: str | None, now: datetime) -> str:
    """Format the age of an RFC 3339 time: ``just now``, ``4 min ago``; other text unchanged."""
    if not time:
        return NOTHING
    try:
        then = datetime.fromisoformat(time)
    except ValueError:
        return time
    seconds = (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    if seconds < -_AGES[-1][0]:
        return moment(time)  # in the future: a clock was set back
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def duration(seconds: float | None) -> str:
    """Format ``45 s``, ``12 min``, ``3 h 20 min``; a dash if unknown."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
