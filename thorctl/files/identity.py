"""Detect a changed file without reading it."""

from __future__ import annotations

from os import stat  # ansible_support.inputs wraps os.stat, and Path.stat takes twice as long
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def identity(path: str | Path) -> str:
    """Return device, inode, times, size, owner and mode: changes with a file or a folder's entries."""
    try:
        found = stat(path)  # noqa: PTH116 - see the import
    except OSError as error:
        return f"absent {error.errno}"
    times = f"{found.st_mtime_ns} {found.st_ctime_ns}"
    return f"{found.st_dev} {found.st_ino} {times} {found.st_size} {found.st_uid} {found.st_mode:o}"


def presence(path: str | Path) -> str:
    """Return kind, mode and owner of an entry, or that it is absent."""
    try:
        found = stat(path)  # noqa: PTH116 - see the import
    except OSError as error:
        return f"absent {error.errno}"
    return f"{found.st_mode:o} {found.st_uid} {found.st_gid}"


def changed_at(path: str | Path) -> float:
    """Return when a file, its name or its mode was changed last: seconds; 0: absent."""
    try:
        found = stat(path)  # noqa: PTH116 - see the import
    except OSError:
        return 0.0
    return max(found.st_mtime, found.st_ctime)
