"""A checkpoint being written: a hidden folder beside the result, with a journal of the complete files.

A run after a kill continues behind the last file of the journal, if source and settings are the same. The
folder is renamed to the result only when it is complete, so no partial result looks finished.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from thorctl.checkpoint.audit import Verdict, audit
from thorctl.checkpoint.manifest import NAME, Manifest
from thorctl.checkpoint.source import Folder
from thorctl.errors import ThorError
from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

JOURNAL = ".journal.json"
SPARE = 64 << 20  # bytes kept free beside the result
Row = dict[str, Any]


class Partial:
    """The folder, locked by this process. ``rows`` is the journal: the record of each complete file."""

    def __init__(self, source: Folder, out: Path, needed: int, how: Mapping[str, str]) -> None:
        """Begin, or continue a run that was killed.

        Args:
            source: the source checkpoint.
            out: path of the result.
            needed: bytes to be written in total.
            how: the settings that determine the result's bytes.

        Raises:
            ThorError: ``out_exists``, ``out_in_source``, ``out_busy``, ``disk_too_small``,
                ``source_changed``.
        """
        require_free(source, out)
        self.folder = out.parent / f".{out.name}.partial"
        self._source = source
        self._out = out
        self._began = {**how, "source": _fingerprint(source)}
        out.parent.mkdir(parents=True, exist_ok=True)
        if not self.folder.is_dir():
            self._require_room(needed)
            self.folder.mkdir()
        self._lock = self._alone()
        try:
            self.rows = self._earlier(needed)
        except BaseException:
            os.close(self._lock)
            raise
        self.resumed = len(self.rows)

    def __enter__(self) -> Partial:
        """Enter ``with``, whose end releases the lock."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        os.close(self._lock)

    def note(self, path: str, row: Row) -> None:
        """Record a file that is on the disk and verified."""
        self.rows[path] = row
        self._write_journal()

    def finish(self, manifest: Manifest) -> None:
        """Audit the result; if it passes, write its manifest and rename it.

        Raises:
            ThorError: ``result_unverified``.
        """
        found = audit(Folder(self.folder))
        new = set(found.off) - set(audit(self._source).off)
        if new or found.verdict is Verdict.REPAIR_LATER:
            raise ThorError(
                "result_unverified",
                f"The result {self._out.name} does not pass the audit: {'; '.join(sorted(found.off))}.",
                f"Report this and keep {self.folder}; {self._source.folder} was not changed.",
            )
        write(self.folder / NAME, manifest.text())
        (self.folder / JOURNAL).unlink()
        self.folder.rename(self._out)
        sync(self._out.parent)

    def _alone(self) -> int:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise ThorError(
                "out_busy",
                f"Another thorctl is writing {self._out}.",
                "Wait for its end, or stop it: complete files are kept.",
            ) from error
        return handle

    def _earlier(self, needed: int) -> dict[str, Row]:
        """Return the rows of a run that was killed; else clear the folder and return {}."""
        try:
            document = json.loads((self.folder / JOURNAL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = None
        if isinstance(document, dict) and {"began", "files"} <= set(document):
            if document["began"] != self._began:
                raise ThorError(
                    "source_changed",
                    f"The unfinished run in {self.folder} used another {self._source.name}, "
                    "or other settings or versions.",
                    f"Remove {self.folder} and start again.",
                )
            rows: dict[str, Row] = document["files"]
            return {path: row for path, row in rows.items() if (self.folder / path).is_file()}
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._require_room(needed)
        self.rows = {}
        self._write_journal()
        return self.rows

    def _require_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._out.parent).free
        if free < needed + SPARE:
            raise ThorError(
                "disk_too_small",
                f"{self._out.parent} has {gigabytes(free)} free; the result needs {gigabytes(needed)}.",
                "Free space there, or name a folder on another disk with --out.",
            )

    def _write_journal(self) -> None:
        draft = self.folder / f"{JOURNAL}.new"
        write(draft, json.dumps({"began": self._began, "files": self.rows}))
        draft.replace(self.folder / JOURNAL)
        sync(self.folder)


def require_free(source: Folder, out: Path) -> None:
    """Verify that ``out`` can be created.

    Raises:
        ThorError: ``out_exists``, ``out_in_source``.
    """
    if out.exists():
        raise ThorError("out_exists", f"{out} exists already.", "Name another folder, or remove this one.")
    if source.folder.resolve() in out.resolve().parents:
        raise ThorError(
            "out_in_source",
            f"{out} is inside the source {source.folder}, which is not changed.",
            "Name a folder outside of it.",
        )


def write(path: Path, text: str) -> None:
    """Write ``text`` to a file and sync it."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Sync the names in ``folder``."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fingerprint(source: Folder) -> dict[str, list[int]]:
    return {path: [size, (source.folder / path).stat().st_mtime_ns] for path, size in source.sizes.items()}
