"""Failed smoke tests that an operator accepted; rows are only added."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from thorctl.store.transaction import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class AcceptedSmoke:
    """A row.

    Attributes:
        device: its name in the inventory.
        release: id of the release that was committed.
        at: RFC 3339, UTC, on the device's clock.
        who: ``user@host``.
        reason: as given with ``--accept-failed-smoke``.
    """

    device: str
    release: str
    at: str
    who: str
    reason: str


def append(db: sqlite3.Connection, accepted: Iterable[AcceptedSmoke]) -> None:
    """Record all of them, or none."""
    with transaction(db):
        db.executemany(
            "INSERT INTO accepted_smokes (device, release, at, who, reason) VALUES (?, ?, ?, ?, ?)",
            map(astuple, accepted),
        )


def newest(db: sqlite3.Connection, most: int) -> list[AcceptedSmoke]:
    """Return at most ``most`` rows, the newest first."""
    rows = db.execute(
        "SELECT device, release, at, who, reason FROM accepted_smokes ORDER BY id DESC LIMIT ?", (most,)
    )
    return [AcceptedSmoke(*row) for row in rows]
