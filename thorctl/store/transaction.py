"""All of several statements, or none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All statements of the block, or none; on the disk when the block has ended. Not to be nested.

    ``db`` must be in autocommit mode, as the store's connections are.
    """
    # A writer from the start, who waits for others: one that becomes it later may be refused at once.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself has gone back where the disk is full
            db.execute("ROLLBACK")
        raise
