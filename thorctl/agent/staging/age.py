"""Record the order in which releases were staged, and how long a download has been idle.

File times do not serve: the clock may be set, and a device without a clock battery stages in 1970. The order
is a counter. An age is measured with the clock since boot; time between two boots is not counted, so a
recorded age is never above the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.agent.core.context import Context


def note_release(ctx: Context, release_id: str) -> None:
    """Record ``release_id`` as the one staged last."""
    order = staging_order(ctx)
    newest = max(order.values(), default=0)
    if order.get(release_id) == newest > 0:
        return
    here = {name: number for name, number in order.items() if ctx.paths.release_dir(name).exists()}
    _write(ctx, releases={**here, release_id: newest + 1})


def staging_order(ctx: Context) -> dict[str, int]:
    """Return release id → number; the highest was staged last. Earlier agents recorded none."""
    found = _read(ctx).get("releases")
    known = found if isinstance(found, dict) else {}
    return {name: number for name, number in known.items() if isinstance(number, int)}


def note_download(ctx: Context, name: str) -> None:
    """Record that a download is continued now."""
    now = {"boot": this_boot(ctx), "since_boot": ctx.clock.since_boot(), "idle_seconds": 0.0}
    _write(ctx, downloads={**_downloads(ctx), name: now})


def idle_seconds(ctx: Context, names: Iterable[str], *, record: bool) -> dict[str, float]:
    """Return for how many seconds each download has been idle; 0 for an unrecorded one.

    Args:
        ctx: the device.
        names: the downloads that exist.
        record: store the ages, to continue after the next boot; remove those of other downloads.
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
        return {}  # written by another program: the agent's own writes are atomic
    return document if isinstance(document, dict) and document.get("schema") == 1 else {}


def _write(ctx: Context, **changes: Mapping[str, Any]) -> None:
    ctx.files.write_json(ctx.paths.staged_json, {**_read(ctx), **changes, "schema": 1})
