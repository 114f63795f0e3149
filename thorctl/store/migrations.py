"""Migrate the schema by numbered steps (``steps/0001_baselines.sql``, …), each applied atomically, once.

A released step is never changed; further changes are steps of their own.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.store.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION_ID = 0x54484F52  # "THOR", in the file's header: identifies our databases
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema; ``number`` is the file's ``user_version`` after it."""

    number: int
    sql: str


def steps() -> tuple[Step, ...]:
    """Return all steps, in order."""
    folder = resources.files("thorctl.store") / "steps"
    named = [(_NAME.fullmatch(file.name), file) for file in folder.iterdir()]
    found = [Step(int(match[1]), file.read_text("utf-8")) for match, file in named if match]
    ordered = tuple(sorted(found, key=lambda step: step.number))
    assert [step.number for step in ordered] == list(range(1, len(ordered) + 1))  # noqa: S101 - our own files
    return ordered


def migrate(db: sqlite3.Connection, file: Path, known: Sequence[Step]) -> None:
    """Migrate the file to the newest of the ``known`` steps. ``db`` must be in autocommit mode.

    Raises:
        ThorError: ``store_newer``, ``store_foreign``; the file is then unchanged.
    """
    newest = known[-1].number if known else 0
    if _number(db, "user_version") == newest and _number(db, "application_id") == APPLICATION_ID:
        return
    with transaction(db):  # a concurrent process waits here, and finds the steps applied
        for step in known[_done(db, file, newest) :]:
            for statement in statements(step.sql):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {step.number}")


def _done(db: sqlite3.Connection, file: Path, newest: int) -> int:
    """Return the number of applied steps."""
    if _number(db, "application_id") != APPLICATION_ID:
        raise ThorError(
            "store_foreign",
            f"{file} is not a database of thorctl.",
            "Move it away, or name another folder with THORCTL_STATE_DIR.",
        )
    done = _number(db, "user_version")
    if done > newest:
        raise ThorError(
            "store_newer",
            f"{file} was written by a newer thorctl: its schema is {done}, this one supports {newest}.",
            "Use the newer thorctl, or name another folder with THORCTL_STATE_DIR.",
        )
    return done


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a script one by one: ``executescript`` would commit between them."""
    text = ""
    for line in sql.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text.strip()
            text = ""
    assert not text.strip()  # noqa: S101 - our own files


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
