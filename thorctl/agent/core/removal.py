"""Delete what a less privileged account has created: by descriptors, and at any depth of directories.

``shutil.rmtree`` takes a level of recursion and a descriptor for each level: a thousand nested directories
would prevent the removal.
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
    """Delete the entry at a path whose parent is root's own; a missing one is no error."""
    parent = os.open(path.parent, _DIRECTORY)
    try:
        remove(parent, path.name)
    finally:
        os.close(parent)


def remove(parent: int, name: str) -> None:
    """Delete an entry by its parent's descriptor; follow no link; a missing entry is no error."""
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
    """Empty a directory, repeatedly moving entries two levels below it one level up."""
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
    """Delete all entries but directories; return the names of the directories."""
    left = []
    for name in os.listdir(directory):
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        except (IsADirectoryError, PermissionError):
            left.append(name)
    return left
