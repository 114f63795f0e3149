"""/run/thor/progress.json as one line for people."""

from __future__ import annotations

from typing import Any

UNITS = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000))


def bytes_text(count: int) -> str:
    """Bytes in decimal units, as registries and disks count: ``1.2 GB``."""
    for name, size in UNITS:
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count} B"


def progress_line(progress: dict[str, Any]) -> str:
    """``stage: checkpoint 45 % (1.2 GB of 2.7 GB, 53.0 MB/s) message``; leaves out what is not known."""
    words = [f"{progress.get('verb') or 'agent'}: {progress.get('phase') or 'at work'}"]
    done, total, speed = (progress.get(k) for k in ("done_bytes", "total_bytes", "bytes_per_second"))
    if done is not None and total:
        pace = f", {bytes_text(speed)}/s" if speed else ""
        words.append(f"{100 * done // total} % ({bytes_text(done)} of {bytes_text(total)}{pace})")
    elif done:
        words.append(bytes_text(done))
    if progress.get("message"):
        words.append(str(progress["message"]))
    return " ".join(words)


def worth_showing(before: dict[str, Any] | None, now: dict[str, Any], seconds_since: float) -> bool:
    """Whether ``now`` says something new: another phase, a tenth more, or half a minute without a word."""
    if before is None or before.get("phase") != now.get("phase"):
        return True
    if seconds_since >= 30:
        return True
    total = now.get("total_bytes")
    if not total:
        return False
    return int(10 * (now.get("done_bytes") or 0) / total) > int(10 * (before.get("done_bytes") or 0) / total)
