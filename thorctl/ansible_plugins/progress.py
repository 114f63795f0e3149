"""Format the progress of a verb as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from thorctl.protocol.progress import Progress

SHOW_AGAIN_SECONDS = 30


def progress_line(progress: Progress) -> str:
    """Format ``stage: checkpoint 45 % (1.2 GB of 2.7 GB, 53.0 MB/s) message`` without unknown values."""
    words = [f"{progress.verb}: {progress.phase}"]
    done, total, speed = progress.done_bytes, progress.total_bytes, progress.bytes_per_second
    if done is not None and total:
        pace = f", {gigabytes(speed)}/s" if speed else ""
        words.append(f"{progress.percent} % ({gigabytes(done)} of {gigabytes(total)}{pace})")
    elif done:
        words.append(gigabytes(done))
    if progress.message:
        words.append(progress.message)
    return " ".join(words)


def worth_showing(before: Progress | None, now: Progress, seconds_since: float) -> bool:
    """Return whether ``now`` is news: another phase, a tenth more, or the first in half a minute."""
    if before is None or before.phase != now.phase or seconds_since >= SHOW_AGAIN_SECONDS:
        return True
    return _tenths(now) > _tenths(before)


def _tenths(progress: Progress) -> int:
    return (progress.percent or 0) // 10
