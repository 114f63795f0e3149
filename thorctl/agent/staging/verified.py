"""Verify checkpoint files against the lock, and record the verified ones in a directory of root's.

The record makes the next check cheap: a file with the recorded inode, size and change time is not hashed
again. Only root can set a change time back, and only by setting the clock.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import CheckpointFile, Release

OLD_MARKER = ".thor-verified.json"  # of earlier agents, beside the files: not trusted, removed
BLOCK_BYTES = 4 * 1024 * 1024
DROP_BYTES = 64 * 1024 * 1024  # step in which a file leaves the page cache while it is hashed
MISSING, WRONG_SIZE, WRONG_HASH = "file_missing", "file_wrong_size", "file_wrong_hash"
UNVERIFIED = "file_unverified"


@dataclass(frozen=True)
class BadFile:
    """A file that differs from the lock. ``code`` is the agent's error code.

    ``file_unverified``: it has the right size and was never hashed.
    """

    file: CheckpointFile
    code: str
    found: str | int | None

    def document(self) -> dict[str, Any]:
        """Return the document for an error's details."""
        wanted = self.file.size if self.code in (MISSING, WRONG_SIZE) else self.file.sha256
        return {"path": self.file.path, "code": self.code, "wanted": wanted, "found": self.found}


def unverified(ctx: Context, release: Release) -> list[BadFile]:
    """Return the files of a staged checkpoint that differ from the lock, by record, size and time only.

    Cheap enough for activate and status.
    """
    directory = ctx.paths.checkpoints / release.checkpoint_name
    return check(ctx, directory, release.checkpoint_files, hash_unknown=False)


def check(
    ctx: Context,
    directory: Path,
    files: Iterable[CheckpointFile],
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
    hash_unknown: bool = True,
) -> list[BadFile]:
    """Return the files that differ from the lock; record all others.

    Args:
        ctx: for paths and durable writes.
        directory: the checkpoint's directory, root's own; need not exist.
        files: the files to check.
        on_bytes: called with the number of bytes checked, for progress.
        hash_unknown: False: read no file. One without a record is ``file_unverified``, one that changed
            since it was hashed is ``file_wrong_hash``.
    """
    known = read(ctx, directory)
    record, bad = dict(known), []
    for file in files:
        path = directory / file.path
        fault = _fault(path, file, known.get(file.path), on_bytes, hash_unknown=hash_unknown)
        if fault:
            bad.append(BadFile(file, *fault))
            record.pop(file.path, None)
        elif hash_unknown:
            found = identity(path, file.sha256)
            if found != known.get(file.path):
                # Before the record: a power failure may leave the inode without its content.
                ctx.files.sync(path)
            record[file.path] = found
    if hash_unknown:
        write(ctx, directory, record)
        ctx.files.remove(directory / OLD_MARKER)
    return bad


def write(ctx: Context, directory: Path, record: dict[str, Any]) -> None:
    """Record hashed files (path → ``identity``) of a directory, if the record changes."""
    if record != read(ctx, directory):
        ctx.paths.verified.mkdir(mode=0o700, parents=True, exist_ok=True)
        ctx.files.write_json(_place(ctx, directory), {"schema": 1, "files": record}, 0o600)


def forget(ctx: Context, directory: Path) -> None:
    """Remove the record of a directory."""
    ctx.files.remove(_place(ctx, directory))


def identity(path: Path, sha256: str) -> dict[str, Any]:
    """Return the record of a file with ``sha256``.

    ``device`` is informational: it may change with a reboot, so it is not compared.
    """
    status = path.lstat()
    return {
        "sha256": sha256,
        "size": status.st_size,
        "inode": status.st_ino,
        "device": status.st_dev,
        "ctime_ns": status.st_ctime_ns,
    }


def sha256_of(path: Path, on_bytes: Callable[[int], None]) -> str:
    """Hash a file without leaving it in the page cache: on a Thor the GPU shares that memory."""
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK_BYTES))
    done = dropped = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := file.readinto(block):
            digest.update(block[:count])
            done += count
            on_bytes(count)
            if done - dropped >= DROP_BYTES:
                os.posix_fadvise(descriptor, dropped, done - dropped, os.POSIX_FADV_DONTNEED)
                dropped = done
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _fault(
    path: Path,
    file: CheckpointFile,
    known: object,
    on_bytes: Callable[[int], None],
    *,
    hash_unknown: bool,
) -> tuple[str, str | int | None] | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return MISSING, None
    if not stat.S_ISREG(status.st_mode):
        return MISSING, None
    if status.st_size != file.size:
        return WRONG_SIZE, status.st_size
    if _same(known, identity(path, file.sha256)):
        on_bytes(status.st_size)
        return None
    if not hash_unknown:
        return (UNVERIFIED if known is None else WRONG_HASH), None  # wrong: changed since it was hashed
    found = sha256_of(path, on_bytes)
    return None if found == file.sha256 else (WRONG_HASH, found)


def _same(known: object, found: dict[str, Any]) -> bool:
    compared = ("sha256", "size", "inode", "ctime_ns")
    return isinstance(known, dict) and all(known.get(name) == found[name] for name in compared)


def read(ctx: Context, directory: Path) -> dict[str, Any]:
    """Return the record of a directory: path → ``identity``."""
    try:
        document = read_json(_place(ctx, directory))
        files = document["files"] if document["schema"] == 1 else {}
    except (ValueError, KeyError, TypeError, OSError):
        return {}  # without a record all files are hashed again
    return files if isinstance(files, dict) else {}


def _place(ctx: Context, directory: Path) -> Path:
    return ctx.paths.verified / f"{directory.name}.json"
