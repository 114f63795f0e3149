"""Changes a store and then never ends, so that it can be killed.

python store_killed.py FILE step|transaction
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from thorctl.store.connection import opened
from thorctl.store.migrations import Step
from thorctl.store.transaction import transaction

CHANGES = "INSERT INTO parents VALUES (9)"
TELLS = "SELECT told()"
NEVER_ENDS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"

_connect = sqlite3.connect


def connect(*words: Any, **named: Any) -> sqlite3.Connection:
    """As sqlite3's, with a function that says on stdout that the change is made."""
    db: sqlite3.Connection = _connect(*words, **named)
    db.create_function("told", 0, lambda: sys.stdout.write("there\n") and sys.stdout.flush())
    return db


def main(file: Path, at: str) -> None:
    """See the module."""
    known = [Step(1, ""), Step(2, f"{CHANGES};\n{TELLS};\n{NEVER_ENDS};\n")]
    with opened(file, known if at == "step" else known[:1]) as db, transaction(db):
        for statement in (CHANGES, TELLS, NEVER_ENDS):
            db.execute(statement)


if __name__ == "__main__":
    sqlite3.connect = connect  # type: ignore[assignment]  # for this process only
    main(Path(sys.argv[1]), sys.argv[2])
