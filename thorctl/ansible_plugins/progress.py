"""Format /run/thor/progress.json as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

from thorctl.protocol.sizes import gigabytes


def progress_line(progress: Mapping[str, Any]) -> str:
    """Format ``stage: checkpoint 45 % (1.2 GB of 2.7 GB, 53.0 MB/s) message`` without unknown values."""
    words = [f"{progress.get('verb') or 'agent'}: {progress.get('phase') or 'at work'}"]
    done, total, speed = (progress.get(k) for k in ("done_bytes", "total_bytes", "bytes_per_second"))
    if done is not None and total:
        pace = f", {gigabytes(speed)}/s" if speed else ""
        words.append(f"{100 * done // total} % ({gigabytes(done)} of {gigabytes(total)}{pace})")
    elif done:
        words.append(gigabytes(done))
    if progress.get("message"):
        words.append(str(progress["message"]))
    return " ".join(words)


def worth_showing(before: Mapping[str, Any] | None, now: Mapping[str, Any], seconds_since: float) -> bool:
    """Return whether ``now`` is news: another phase, a tenth more, or the first in half a minute."""
    if before is None or before.get("phase") != now.get("phase"):
        return True
    if seconds_since >= 30:
        return True
    total = now.get("total_bytes")
    if not total:
        return False
    return int(10 * (now.get("done_bytes") or 0) / total) > int(10 * (before.get("done_bytes") or 0) / total)
