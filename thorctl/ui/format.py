"""Numbers and times as people read them. None is shown as a dash, never as zero."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from thorctl.protocol.sizes import gibibytes, gigabytes

NOTHING = "–"
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def data_size(size: int | None) -> str:
    """Bytes on a disk or of a download: ``24.1 GB``."""
    return NOTHING if size is None else gigabytes(size)


def memory_size(size: int | None) -> str:
    """Bytes of memory: ``98.1 GiB``."""
    return NOTHING if size is None else gibibytes(size)


def celsius(degrees: float | None) -> str:
    """``39 °C``."""
    return NOTHING if degrees is None else f"{degrees:.0f} °C"


def moment(time: str | None) -> str:
    """An RFC 3339 time on this machine's clock: ``2026-11-25 13:00``; the text itself if it is no time."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else NOTHING
    except ValueError:
        return str(time)


def age(time: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was: ``just now``, ``4 min ago``; the text itself if it is no time."""
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
    """``45 s``, ``12 min``, ``3 h 20 min``; a dash for what is not known."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
