"""Open the store. ``transaction`` (its own module) changes it atomically."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.store.migrations import migrate, steps
from thorctl.store.place import make_private, store_file, unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thorctl.store.migrations import Step

BUSY_SECONDS = 30.0  # our transactions take milliseconds: after this time a process hangs


@contextmanager
def opened(file: Path | None = None, known: Sequence[Step] | None = None) -> Iterator[sqlite3.Connection]:
    """Yield the store, created or migrated first. Rows are ``sqlite3.Row``.

    SQLite's errors inside the block become ThorErrors. The connection belongs to one thread; each thread
    opens its own.

    Args:
        file: default ``store_file()``.
        known: steps of the schema; default all.

    Raises:
        ThorError: ``store_unusable``, ``store_newer``, ``store_foreign``, ``store_corrupt``, ``store_busy``,
            ``store_full``.
    """
    path = file or store_file()
    try:
        make_private(path)
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(db, path, steps() if known is None else known)
            yield db
        finally:
            db.close()
    except sqlite3.IntegrityError:
        raise  # a programming error in our statements
    except sqlite3.DatabaseError as fault:
        raise _explained(path, fault) from fault


def _prepare(db: sqlite3.Connection, path: Path, known: Sequence[Step]) -> None:
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    # FULL: committed data survives a power failure, not only a crash of the process.
    db.execute("PRAGMA synchronous = FULL")
    migrate(db, path, known)


def _explained(path: Path, fault: sqlite3.DatabaseError) -> ThorError:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF  # the primary code
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ThorError(
            "store_busy",
            f"Another process has locked {path} for more than {BUSY_SECONDS:g} s.",
            f"Find the process with `fuser {path}`, and wait for its end or stop it.",
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return ThorError(
            "store_corrupt",
            f"{path} is damaged ({fault}).",
            "Move it away together with its -wal and -shm; then restore a backup, or start with an "
            "empty one.",
        )
    if code == sqlite3.SQLITE_FULL:
        return ThorError(
            "store_full",
            f"The disk of {path} is full.",
            "Free space on it, then repeat the command; continue a rollout with `thorctl rollout resume`.",
        )
    return unusable(path, str(fault))
