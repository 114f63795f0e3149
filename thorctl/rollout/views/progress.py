"""How far devices are with what takes long, as their agents say it: of one, and of all together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.protocol.plural import counted
from thorctl.rollout.views.terms import duration
from thorctl.ui.format import data_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PARTS = {"verify": "verifying", "start": "starting"}
_KEYS = ("done_bytes", "total_bytes", "bytes_per_second")


def of_one(progress: Mapping[str, Any]) -> str:
    """``checkpoint 42 %, 9.1 of 21.8 GB, 11 MB/s, 17 min left``, as far as it is known."""
    part = str(progress.get("phase") or "under way")
    done, total, rate = (_number(progress.get(key)) for key in _KEYS)
    words = [_PARTS.get(part, part)]
    if done is not None and total:
        words = [f"{words[0]} {100 * done // total:.0f} %", _bytes(done, total)]
    if rate:
        words.append(f"{rate / 1e6:.0f} MB/s")
        if done is not None and total and total > done:
            words.append(f"{duration((total - done) / rate)} left")
    return ", ".join(words)


def of_all(downloads: Iterable[Mapping[str, Any]]) -> str:
    """``10 devices at it: 120.0 of 218.0 GB, 110 MB/s, 15 min left``; empty where it is unknown of all."""
    known = [[_number(one.get(key)) for key in _KEYS] for one in downloads]
    figures = [(done, total, rate or 0.0) for done, total, rate in known if done is not None and total]
    if not figures:
        return ""
    done, total, rate = (sum(column) for column in zip(*figures, strict=True))
    words = [f"{counted(len(figures), 'device')} at it: {_bytes(done, total)}"]
    if rate:
        words.append(f"{rate / 1e6:.0f} MB/s")
    if all(speed for had, whole, speed in figures if whole > had) and total > done:
        slowest = max((whole - had) / speed for had, whole, speed in figures if whole > had)
        words.append(f"{duration(slowest)} left")
    return ", ".join(words)


def _bytes(done: float, total: float) -> str:
    whole = data_size(int(total))
    return f"{data_size(int(done)).removesuffix(whole[whole.rindex(' ') :])} of {whole}"


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
