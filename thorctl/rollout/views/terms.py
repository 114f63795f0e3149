"""Releases, lengths of time and sizes as the views of a rollout call them. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thorctl.ui.format import NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection

PADDING = (0, 2, 0, 0)


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``; a dash for what is not known."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def change(before: str | None, target: str) -> str:
    """``3f9c1a22be01 → 77aa04c5d9e2``: what only repeats the profile's name is left out."""
    if before is None:
        return f"{NOTHING} → {_hash(target)}"
    same = before.rpartition("-")[0] == target.rpartition("-")[0]
    return f"{_hash(before) if same else before} → {_hash(target)}"


def headline(changes: Collection[tuple[str | None, str]]) -> str:
    """What a rollout brings, in full; and in place of what, if all that are known have the same."""
    brought = ", ".join(dict.fromkeys(target for _, target in changes))
    if not alike(changes):
        return brought
    had = next((before for before, _ in changes if before is not None), None)
    return f"{had} → {brought}" if had else brought


def alike(changes: Collection[tuple[str | None, str]]) -> bool:
    """Whether all devices change from the same to the same, as far as it is known."""
    return len({one for one in changes if one[0] is not None}) <= 1 and len({one[1] for one in changes}) <= 1


def _hash(release: str) -> str:
    return release.rpartition("-")[2]
