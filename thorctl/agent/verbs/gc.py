"""``gc``: delete what no state needs. A release's directory goes last, so a repeated gc finds its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core import removal
from thorctl.agent.core.files import TEMPORARY_PREFIX
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import cache
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.staging import age, checkpoint, image, takeover, verified
from thorctl.agent.staging.checkpoint import STAGING_PREFIX
from thorctl.agent.staging.earlier import PARTIAL_PREFIX
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.results import Collected, Removed

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

STALE_SECONDS = 24 * 3600.0  # a download that was idle for a day


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Keep the journal's releases and the ``--keep`` newest others; with ``--dry-run`` only list the rest."""
    if args.keep < 0:
        raise AgentError(
            "bad_call", f"--keep {args.keep} is negative.", "Give the number of releases to keep."
        )
    needed = load_journal(ctx.paths).needed
    known = {name: _document(ctx, name) for name in release_store.staged_ids(ctx.paths)}
    if any(known.get(name) is None for name in needed):
        raise AgentError(
            "release_invalid",
            "The release in use cannot be read, so its image and checkpoint are unknown.",
            "Stage it again (`thorctl stage DEVICE`), then run gc.",
            details={"needed": sorted(needed)},
        )
    kept = needed | set(_newest(ctx, [name for name in known if name not in needed], args.keep))
    doomed = {name: release for name, release in known.items() if name not in kept}
    staying = [release for name, release in known.items() if release and name in kept]
    removed = [
        *_images(ctx, [release for release in doomed.values() if release], staying, dry=args.dry_run),
        *_checkpoints(ctx, staying, dry=args.dry_run),
        *_directories(ctx, "release", [ctx.paths.release_dir(name) for name in doomed], dry=args.dry_run),
        *_unfinished(ctx, dry=args.dry_run),
        *_caches(ctx, [known[name] for name in needed], dry=args.dry_run),
    ]
    freed = sum(one.bytes for one in removed)
    return Outcome(Collected(tuple(removed), freed), changed=bool(removed) and not args.dry_run)


def _document(ctx: Context, name: str) -> Release | None:
    try:
        return release_store.read_document(ctx.paths, name)
    except AgentError:
        return None


def _newest(ctx: Context, names: list[str], count: int) -> list[str]:
    """Return the releases staged last. Those of an earlier agent follow, by the time of their files."""
    order = age.staging_order(ctx)

    def key(name: str) -> tuple[int, float]:
        return order.get(name, 0), ctx.paths.release_dir(name).stat().st_mtime

    return sorted(names, key=key, reverse=True)[:count]


def _images(ctx: Context, doomed: list[Release], staying: list[Release], *, dry: bool) -> list[Removed]:
    """Remove images of releases only: other images on the device belong to other programs."""
    removed = []
    for reference in sorted({one.image for one in doomed} - {one.image for one in staying}):
        found = ctx.docker.image(reference)
        if found is None:
            continue
        if dry or image.forget(ctx, reference):
            removed.append(Removed("image", reference, int(found.get("Size") or 0)))
    return removed


def _checkpoints(ctx: Context, staying: list[Release], *, dry: bool) -> list[Removed]:
    used = {release.checkpoint_name for release in staying}
    found = sorted(ctx.paths.checkpoints.iterdir()) if ctx.paths.checkpoints.is_dir() else []
    doomed = [path for path in found if not path.name.startswith(".") and path.name not in used]
    return _directories(ctx, "checkpoint", doomed, dry=dry)


def _caches(ctx: Context, needed: list[Release | None], *, dry: bool) -> list[Removed]:
    """Remove caches of releases that are neither current, previous nor on trial."""
    used = {cache.key(ctx, release) for release in needed if release and release.layout == SOCKET_LAYOUT}
    found = sorted(ctx.paths.engine_cache.iterdir()) if ctx.paths.engine_cache.is_dir() else []
    removed = []
    for entry in found:
        if entry.name in used:
            continue
        removed.append(Removed("cache", entry.name, checkpoint.bytes_in(entry)))
        if not dry:
            cache.remove(ctx, entry)
    return removed


def _unfinished(ctx: Context, *, dry: bool) -> list[Removed]:
    """Remove the rest of interrupted writes, and idle downloads."""
    places = [
        path
        for directory in (ctx.paths.checkpoints, ctx.paths.releases)
        for path in (sorted(directory.iterdir()) if directory.is_dir() else ())
        if path.name.startswith((PARTIAL_PREFIX, STAGING_PREFIX, TEMPORARY_PREFIX))
    ]
    incoming = takeover.names(ctx)
    begun = {_download(path) for path in places if not path.name.startswith(TEMPORARY_PREFIX)}
    idle = age.idle_seconds(ctx, sorted(begun | set(incoming)), record=not dry)
    stale = {name for name, seconds in idle.items() if seconds > STALE_SECONDS}
    rubbish = [path for path in places if path.name.startswith(TEMPORARY_PREFIX) or _download(path) in stale]
    removed = _directories(ctx, "partial", rubbish, dry=dry)
    for name in incoming:  # the download account's directory, so reached by descriptors only
        if name in stale:
            removed.append(Removed("partial", name, takeover.kept_bytes(ctx, name)))
            if not dry:
                takeover.remove(ctx, name)
    return removed


def _download(path: Path) -> str:
    """Return the checkpoint's name of a directory with an unfinished download."""
    return path.name.removeprefix(PARTIAL_PREFIX).removeprefix(STAGING_PREFIX)


def _directories(ctx: Context, kind: str, paths: list[Path], *, dry: bool) -> list[Removed]:
    removed = []
    for path in paths:
        removed.append(Removed(kind, path.name, checkpoint.bytes_in(path)))
        if not dry:
            _remove(ctx, path)
            verified.forget(ctx, path)
    return removed


def _remove(ctx: Context, path: Path) -> None:
    """Delete a directory by descriptors only: an earlier agent's download belongs to another account."""
    if not path.name.startswith(PARTIAL_PREFIX):
        ctx.files.remove_tree(path)
        return
    removal.remove_path(path)
