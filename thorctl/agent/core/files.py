"""Durable file changes: write to a temporary file, sync, rename, sync the directory.

One class holds all file operations that matter for crash safety, so that tests can simulate a crash between
any two of them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"


class Files:
    """Durable file operations. All raise ``OSError``."""

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Replace ``path`` atomically and durably: after a crash it holds either the old or the new bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY_PREFIX}{path.name}"
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            self.flush(file.fileno())
        self.rename(temporary, path)

    def write_json(self, path: Path, document: Any, mode: int = 0o644) -> None:
        """Write a JSON document with a final newline.

        Undecodable bytes in file names are written as JSON escapes.
        """
        text = json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"
        self.write(path, text.encode(errors="backslashreplace"), mode)

    def rename(self, source: Path, target: Path) -> None:
        """Rename and sync both directories."""
        source.rename(target)
        self.sync(target.parent)
        if source.parent != target.parent:
            self.sync(source.parent)

    def sync(self, path: Path) -> None:
        """Sync a file or a directory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.flush(descriptor)
        finally:
            os.close(descriptor)

    def sync_all(self) -> None:
        """Wait until all written data is on the disks, Docker's too, which does not sync."""
        os.sync()

    def flush(self, descriptor: int) -> None:
        """Wait until the data of a descriptor is on the disk; the only place that does."""
        os.fsync(descriptor)

    def remove(self, path: Path) -> None:
        """Delete a file durably; a missing one is no error."""
        if path.is_symlink() or path.exists():
            path.unlink()
            self.sync(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory durably, read-only or not; a missing one is no error.

        It is renamed to a temporary name first: after a crash it is complete, or marked for removal.
        """
        if not path.exists():
            return
        doomed = path
        if not path.name.startswith(TEMPORARY_PREFIX):
            doomed = path.parent / f"{TEMPORARY_PREFIX}{path.name}"
            self.remove_tree(doomed)
            path.chmod(0o755)
            self.rename(path, doomed)
        for directory, _, _ in os.walk(doomed):
            Path(directory).chmod(0o755)
        shutil.rmtree(doomed)
        self.sync(doomed.parent)


def read_json(path: Path) -> Any:
    """Return the document in ``path``; None if the file does not exist.

    Raises:
        ValueError: not JSON, or undecodable bytes.
        OSError: the file could not be read.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
