"""Files that survive a power cut: every change is written apart, synced, renamed, and the directory synced.

One class holds all file operations that matter for crash safety, so that tests can pass one that dies
between any two of them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"


class Files:
    """Durable file operations. All raise ``OSError`` as the kernel says."""

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Replace ``path`` atomically and durably: after a crash it holds the old or the new bytes, whole."""
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
        """``write`` of a JSON document with a final newline.

        Names of files may be no text: what of them is no character is written as JSON's own escape.
        """
        text = json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"
        self.write(path, text.encode(errors="backslashreplace"), mode)

    def rename(self, source: Path, target: Path) -> None:
        """Rename and sync the directories on both sides."""
        source.rename(target)
        self.sync(target.parent)
        if source.parent != target.parent:
            self.sync(source.parent)

    def sync(self, path: Path) -> None:
        """fsync a file or a directory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.flush(descriptor)
        finally:
            os.close(descriptor)

    def sync_all(self) -> None:
        """Wait until the disks have all that anybody wrote: Docker, too, which does not wait itself."""
        os.sync()

    def flush(self, descriptor: int) -> None:
        """Wait until the disk has what was written: the only place that waits for it."""
        os.fsync(descriptor)

    def remove(self, path: Path) -> None:
        """Delete a file durably; absent is fine."""
        if path.is_symlink() or path.exists():
            path.unlink()
            self.sync(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory durably, read-only or not; absent is fine.

        It is renamed to a temporary name first: after a crash it is whole or, under that name, rubbish.
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
    """The document in ``path``; None if the file does not exist.

    Raises:
        ValueError: not JSON (also for undecodable bytes).
        OSError: could not be read.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
