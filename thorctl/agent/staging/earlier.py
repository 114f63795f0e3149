"""Move downloads of an agent without the fetcher to where the fetcher continues them.

That agent kept them in ``checkpoints/.partial-<name>``, which a download account could write. The files are
reached through directory descriptors and moved into a directory of root's before they are inspected.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core import removal
from thorctl.agent.staging import takeover

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.account import Account
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

PARTIAL_PREFIX = ".partial-"
_SCRATCH_PREFIX = ".tmp-earlier-"
# .cache/thor-parts/<sha256>, and hf's own <hash of the name>.<etag = sha256>.<random>.incomplete
_UNFINISHED = re.compile(r"(?:.+\.)?([0-9a-f]{64})(?:\.[0-9a-f]+)?(?:\.incomplete)?")


def directory(ctx: Context, release: Release) -> Path:
    """Return the directory of an earlier agent's unfinished download of the checkpoint."""
    return ctx.paths.checkpoints / f"{PARTIAL_PREFIX}{release.checkpoint_name}"


def migrate(ctx: Context, release: Release, user: Account) -> None:
    """Give an earlier agent's files to the fetcher, complete files first; remove the rest."""
    old = directory(ctx, release)
    if not os.path.lexists(old):
        return
    commit = release.document["lock"]["checkpoint"]["commit"]
    ctx.docker.remove_container(f"thor-stage-{commit[:12]}")
    ctx.log.info("continuing an earlier agent's download: %s", old.name)
    scratch = ctx.paths.checkpoints / f"{_SCRATCH_PREFIX}{release.checkpoint_name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    sizes = {file.sha256: file.size for file in release.checkpoint_files}
    of_path = {file.path: file.sha256 for file in release.checkpoint_files}
    checkpoints = os.open(ctx.paths.checkpoints, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError, RecursionError):  # replaced by a link, for example: nothing is continued
            _collect(checkpoints, old.name, scratch, of_path, sizes)
        removal.remove(checkpoints, old.name)
        takeover.prepare(ctx, release.checkpoint_name, user)
        for path in scratch.iterdir():
            if path.lstat().st_size <= sizes[path.name]:
                takeover.adopt(ctx, path, release.checkpoint_name, path.name, user)
        removal.remove(checkpoints, scratch.name)
    finally:
        os.close(checkpoints)


def _collect(
    checkpoints: int, name: str, scratch: Path, of_path: dict[str, str], sizes: dict[str, int]
) -> None:
    """Move the longest file of each content into ``scratch``, named by the content's hash."""
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=checkpoints)
    target = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    longest: dict[str, int] = {}
    try:
        for place, _, names, directory_fd in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            for one in names:
                relative = os.path.normpath(os.path.join(place, one))  # noqa: PTH118
                unfinished = _UNFINISHED.fullmatch(one) if relative.startswith(".cache/") else None
                sha256 = of_path.get(relative) or (unfinished[1] if unfinished else None)
                if sha256 not in sizes:
                    continue
                size = os.stat(one, dir_fd=directory_fd, follow_symlinks=False).st_size
                if longest.get(sha256, -1) < size <= sizes[sha256]:
                    os.rename(one, sha256, src_dir_fd=directory_fd, dst_dir_fd=target)
                    longest[sha256] = size
    finally:
        os.close(target)
        os.close(top)
