"""Whether checkpoint files are what the lock says: size and SHA-256, remembered beside them in a marker.

The marker makes a second look cheap: a file whose size and modification time are as when it was hashed is
taken as hashed. Any other file is hashed again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.agent.files import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import CheckpointFile

MARKER = ".thor-verified.json"
BLOCK_BYTES = 8 * 1024 * 1024
MISSING, WRONG_SIZE, WRONG_HASH = "file_missing", "file_wrong_size", "file_wrong_hash"


@dataclass(frozen=True)
class BadFile:
    """A file that is not what the lock says. ``code`` is the agent's error code."""

    file: CheckpointFile
    code: str
    found: str | int | None

    def document(self) -> dict[str, Any]:
        """For an error's details."""
        wanted = self.file.sha256 if self.code == WRONG_HASH else self.file.size
        return {"path": self.file.path, "code": self.code, "wanted": wanted, "found": self.found}


def check(
    ctx: Context,
    directory: Path,
    files: Iterable[CheckpointFile],
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
    hash_unknown: bool = True,
) -> list[BadFile]:
    """The files that are not as wanted; the marker is brought up to date with those that are.

    Args:
        ctx: for durable writes.
        directory: the checkpoint's directory, partial or final; need not exist.
        files: what to look at.
        on_bytes: told of bytes as they are checked, for progress.
        hash_unknown: False = read no file: without the marker's word it counts as ``file_wrong_hash``.
    """
    known = _marker(directory)
    vouched, bad = dict(known), []
    for file in files:
        fault = _fault(directory / file.path, file, known.get(file.path), on_bytes, hash_unknown=hash_unknown)
        if fault:
            bad.append(BadFile(file, *fault))
            vouched.pop(file.path, None)
        elif hash_unknown:
            vouched[file.path] = _identity(directory / file.path, file.sha256)
            if vouched[file.path] != known.get(file.path):
                # Before the marker: after a power cut size and time may be on the disk without the content.
                ctx.files.sync(directory / file.path)
    if hash_unknown and vouched != known:
        ctx.files.write_json(directory / MARKER, {"schema": 1, "files": vouched}, 0o444)
    return bad


def sha256_of(path: Path, on_bytes: Callable[[int], None]) -> str:
    """Hash a file, leaving nothing of it in the page cache: on a Thor that is memory the GPU then lacks."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            on_bytes(len(block))
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _fault(
    path: Path,
    file: CheckpointFile,
    known: object,
    on_bytes: Callable[[int], None],
    *,
    hash_unknown: bool,
) -> tuple[str, str | int | None] | None:
    if path.is_symlink() or not path.is_file():
        return MISSING, None
    size = path.stat().st_size
    if size != file.size:
        return WRONG_SIZE, size
    if known == _identity(path, file.sha256):
        on_bytes(size)
        return None
    if not hash_unknown:
        return WRONG_HASH, None
    found = sha256_of(path, on_bytes)
    return None if found == file.sha256 else (WRONG_HASH, found)


def _identity(path: Path, sha256: str) -> dict[str, Any]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


def _marker(directory: Path) -> dict[str, Any]:
    try:
        document = read_json(directory / MARKER)
        files = document["files"] if document["schema"] == 1 else {}
    except (ValueError, KeyError, TypeError, OSError):
        return {}  # without a marker everything is hashed: slower, never wrong
    return files if isinstance(files, dict) else {}
