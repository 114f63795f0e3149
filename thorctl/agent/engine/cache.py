"""The engine's compile caches: one directory per set of code that can write to it.

Kernels and graphs that one release compiles are executed by the next one that finds them, so a directory's
name is a hash of all code that the engine runs. Below it vLLM separates caches by its options.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from thorctl.agent.core import removal
from thorctl.agent.core.files import TEMPORARY_PREFIX
from thorctl.agent.facts import device
from thorctl.agent.parsers.driver import parse_driver_version
from thorctl.agent.release.document import SOCKET_LAYOUT, UNIT_FILE
from thorctl.protocol import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

# Rendered settings; every other file of a release is code that the engine runs.
_GIVEN = ("serve.yaml", "engine.env")
_OURS = (UNIT_FILE, *_GIVEN)
# Space that Docker needs to start a container, log included: some hundred files of a few MiB.
ROOM_BYTES = 256 * 1024 * 1024
ROOM_INODES = 2000


def key(ctx: Context, release: Release) -> str:
    """Return the name of the release's cache directory.

    SHA-256 over the image's digest and user, the release's engine files, the checkpoint and the GPU driver.
    """
    lock: dict[str, Any] = release.document["lock"]
    files = {
        name: hashlib.sha256(file["content"].encode()).hexdigest()
        for name, file in release.document["files"].items()
        if name not in _OURS
    }
    checkpoint = [lock["checkpoint"]["repository"], lock["checkpoint"]["commit"], lock["checkpoint"]["files"]]
    driver = parse_driver_version(device.text(ctx, "/proc/driver/nvidia/version"))
    code = [lock["image"]["digest"], release.image_user, files, checkpoint, driver]
    return canonical_json.sha256(code)


def directory(ctx: Context, release: Release) -> Path:
    """Return the path of the release's cache directory, which may not exist."""
    return ctx.paths.engine_cache / key(ctx, release)


def ready_mark(ctx: Context, release: Release) -> Path:
    """Return the marker file that exists once the release's caches are filled; the engine cannot write it.

    Its name depends on the rendered files as well as on the cache: options, switches and variables select
    kernels.
    """
    files = release.document["files"]
    given = {name: files[name]["content"] for name in _GIVEN if name in files}
    program = release.document["profile"].get("image", {}).get("entrypoint")
    named = [release.image, release.checkpoint_name, program, given]
    name = canonical_json.sha256(named)
    below = key(ctx, release) if release.layout == SOCKET_LAYOUT else "shared"
    return ctx.paths.ready_marks / below / name


def prepare(ctx: Context, release: Release, uid: int, gid: int) -> Path:
    """Make the release's cache directory usable by this engine; return it.

    The engine may have left anything below it, so nothing there is opened. It is emptied if an engine of
    another user (layout 1: uid 0 of all releases) could write to it.
    """
    for place in (ctx.paths.cache, ctx.paths.engine_cache):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
    if not ctx.paths.cache_is_own.exists():
        empty(ctx)
        ctx.files.write(ctx.paths.cache_is_own, b"")
    made = directory(ctx, release)
    if os.path.lexists(made):
        found = made.lstat()
        if not made.is_symlink() and made.is_dir() and (found.st_uid, found.st_gid) == (uid, gid):
            return made
        remove(ctx, made)
    made.mkdir(mode=0o700)
    os.chown(made, uid, gid, follow_symlinks=False)
    ctx.files.sync(made.parent)
    return made


def empty(ctx: Context) -> None:
    """Remove the caches of all releases."""
    if ctx.paths.engine_cache.is_dir():
        for entry in ctx.paths.engine_cache.iterdir():
            remove(ctx, entry)


def remove(ctx: Context, entry: Path) -> None:
    """Remove one cache directory and its marker.

    The directory is renamed first: after a crash it is complete, or an orphan that the next removal deletes.
    """
    ctx.files.remove_tree(ctx.paths.ready_marks / entry.name)
    doomed = entry.with_name(f"{TEMPORARY_PREFIX}{entry.name.removeprefix(TEMPORARY_PREFIX)}")
    if entry != doomed:
        removal.remove_path(doomed)
        entry.rename(doomed)
    removal.remove_path(doomed)


def make_room(ctx: Context, kept: Release) -> None:
    """Remove caches if the disk has no space for a container, the cache of ``kept`` last.

    No quota limits the engine's cache, and Docker cannot start a container without free blocks and inodes: a
    start with cold caches is better than none. Call it after the engine has stopped. Failures are logged
    only: a rollback does not depend on it.
    """
    own = key(ctx, kept) if kept.layout == SOCKET_LAYOUT else None
    try:
        found = list(ctx.paths.engine_cache.iterdir()) if ctx.paths.engine_cache.is_dir() else []
        for entry in sorted(found, key=lambda one: one.name == own):
            if _has_room(ctx.paths.engine_cache):
                return
            ctx.log.warning("the disk is full: removing the cache %s", entry.name)
            remove(ctx, entry)
    except OSError as failed:
        ctx.log.warning("no disk space could be freed: %s", failed)


def _has_room(place: Path) -> bool:
    """Return whether root can write a container's files; file systems without inode limits report 0."""
    found = os.statvfs(place)
    inodes = found.f_files == 0 or found.f_ffree >= ROOM_INODES
    return inodes and found.f_bfree * found.f_frsize >= ROOM_BYTES


def mark_shared(ctx: Context) -> None:
    """Record that an engine with write access to all caches is about to run (layout 1)."""
    ctx.files.remove(ctx.paths.cache_is_own)
