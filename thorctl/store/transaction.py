"""Execute several statements atomically."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Execute all statements of the block, or none; durable at its end. Not to be nested.

    ``db`` must be in autocommit mode, as the store's connections are.
    """
    # A write lock from the start, which waits: upgrading a read lock may fail at once.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # on a full disk SQLite has rolled back itself
            db.execute("ROLLBACK")
        raise
