"""Delete what an account with fewer rights has made: by descriptors, and however deep its directories are.

``shutil.rmtree`` takes a level of recursion and a descriptor for each of them: whoever nests a thousand keeps
root from ever deleting them.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_path(path: Path) -> None:
    """Delete what has the path, whose parent is root's own; absent is fine."""
    parent = os.open(path.parent, _DIRECTORY)
    try:
        remove(parent, path.name)
    finally:
        os.close(parent)


def remove(parent: int, name: str) -> None:
    """Delete a file, link or directory by its parent's descriptor; absent is fine. No link is followed."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        top = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    """Delete what is in a directory: again and again, what lies two levels below it is moved one up."""
    lifted = (f"{secrets.token_hex(8)}-{number}" for number in count())
    while folders := _folders(top):
        for folder in folders:
            inner = os.open(folder, _DIRECTORY, dir_fd=top)
            try:
                for deeper in _folders(inner):
                    os.rename(deeper, next(lifted), src_dir_fd=inner, dst_dir_fd=top)
            finally:
                os.close(inner)
            os.rmdir(folder, dir_fd=top)


def _folders(directory: int) -> list[str]:
    """Delete what is no directory; returns the names of the directories."""
    left = []
    for name in os.listdir(directory):
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        except (IsADirectoryError, PermissionError):
            left.append(name)
    return left
