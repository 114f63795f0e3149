"""The order in which releases were staged, and for how long a download has been left alone.

Both are recorded here, because the times of files come from a clock that may be set: a device without a
battery stages in 1970. The order is a counter. An age is counted by the clock since boot; what passed between
two boots is not counted, so that an age is at most what it is in truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.agent.core.context import Context


def note_release(ctx: Context, release_id: str) -> None:
    """Record that a release is the one staged last."""
    order = staging_order(ctx)
    newest = max(order.values(), default=0)
    if order.get(release_id) == newest > 0:
        return
    here = {name: number for name, number in order.items() if ctx.paths.release_dir(name).exists()}
    _write(ctx, releases={**here, release_id: newest + 1})


def staging_order(ctx: Context) -> dict[str, int]:
    """Release id → number, the highest was staged last. An earlier agent's releases have none."""
    found = _read(ctx).get("releases")
    known = found if isinstance(found, dict) else {}
    return {name: number for name, number in known.items() if isinstance(number, int)}


def note_download(ctx: Context, name: str) -> None:
    """Record that somebody goes on with a download now."""
    now = {"boot": this_boot(ctx), "since_boot": ctx.clock.since_boot(), "idle_seconds": 0.0}
    _write(ctx, downloads={**_downloads(ctx), name: now})


def idle_seconds(ctx: Context, names: Iterable[str], *, record: bool) -> dict[str, float]:
    """For how long nobody has gone on with each download; 0 for one that nobody has recorded.

    Args:
        ctx: the device.
        names: the downloads that exist.
        record: keep the ages, so that they go on after the next boot; others are forgotten.
    """
    known, boot, now = _downloads(ctx), this_boot(ctx), ctx.clock.since_boot()
    found = {name: _idle(known.get(name), boot, now) for name in names}
    if record and (found or known):
        kept = {name: {"boot": boot, "since_boot": now, "idle_seconds": idle} for name, idle in found.items()}
        _write(ctx, downloads=kept)
    return found


def _idle(entry: object, boot: str, now: float) -> float:
    if not isinstance(entry, dict):
        return 0.0
    try:
        began = float(entry["since_boot"]) if entry["boot"] == boot else 0.0
        return max(0.0, float(entry["idle_seconds"])) + max(0.0, now - began)
    except (KeyError, TypeError, ValueError):
        return 0.0


def _downloads(ctx: Context) -> dict[str, Any]:
    found = _read(ctx).get("downloads")
    return found if isinstance(found, dict) else {}


def _read(ctx: Context) -> dict[str, Any]:
    try:
        document = read_json(ctx.paths.staged_json)
    except (ValueError, OSError):
        return {}  # by a foreign hand: our own writes are whole
    return document if isinstance(document, dict) and document.get("schema") == 1 else {}


def _write(ctx: Context, **changes: Mapping[str, Any]) -> None:
    ctx.files.write_json(ctx.paths.staged_json, {**_read(ctx), **changes, "schema": 1})
