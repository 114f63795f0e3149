"""JSON documents in the user's cache folder, which only this user can have written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import platformdirs

from thorctl.files import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def place(*parts: str) -> Path | None:
    """Return the file of these parts below the cache folder; None without such a folder."""
    try:
        return platformdirs.user_cache_path("thorctl").joinpath(*parts)
    except (OSError, RuntimeError):
        return None


def digest(words: Iterable[str]) -> str:
    """Return a file name for ``words``."""
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:32]


def read(file: Path) -> Any:
    """Return the document; None if it is missing, broken, or may have been written by another user.

    Documents name programs that are run (ProxyCommand), and HOME or XDG_CACHE_HOME may be another user's, as
    with sudo.
    """
    try:
        statuses = [path.lstat() for path in (file, file.parent)]
        if all(one.st_uid == os.geteuid() and not one.st_mode & 0o022 for one in statuses):
            return json.loads(file.read_text())
    except (OSError, ValueError):
        pass
    return None


def write(file: Path, document: Any, *, kept: int) -> None:
    """Write the document for this user alone; ignore a failure.

    Args:
        file: as from `place`; its folder is created.
        document: of JSON's types.
        kept: number of sibling folders to keep, the newest ones.
    """
    with contextlib.suppress(OSError):
        if not file.parent.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy(file.parent.parent, kept)
        atomic.write(file, json.dumps(document), 0o600)


def _tidy(folder: Path, kept: int) -> None:
    by_age = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
    for old in by_age[kept:]:
        shutil.rmtree(old, ignore_errors=True)
