"""Baselines: a device's measurement with a healthy release. One per device and release."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.store.transaction import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row.

    Attributes:
        device: its name in the inventory.
        release: the release's id.
        set_at: RFC 3339, UTC.
        set_by: ``user@host``.
        measurement: data of ``thor-agent bench``.
    """

    device: str
    release: str
    set_at: str
    set_by: str
    measurement: Mapping[str, Any]


def put(db: sqlite3.Connection, baseline: Baseline) -> None:
    """Store a baseline, replacing an earlier one."""
    measurement = json.dumps(baseline.measurement, sort_keys=True, ensure_ascii=False)
    with transaction(db):
        db.execute(
            "INSERT INTO baselines (device, release, set_at, set_by, measurement) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (device, release) DO UPDATE SET set_at = excluded.set_at, "
            "set_by = excluded.set_by, measurement = excluded.measurement",
            (baseline.device, baseline.release, baseline.set_at, baseline.set_by, measurement),
        )


def get(db: sqlite3.Connection, device: str, release: str) -> Baseline | None:
    """Return the baseline of a device with a release."""
    rows = db.execute("SELECT * FROM baselines WHERE device = ? AND release = ?", (device, release))
    return next(map(_read, rows), None)


def of_device(db: sqlite3.Connection, device: str) -> list[Baseline]:
    """Return all baselines of a device, the newest first."""
    rows = db.execute("SELECT * FROM baselines WHERE device = ? ORDER BY set_at DESC, release", (device,))
    return [_read(row) for row in rows]


def forget(db: sqlite3.Connection, device: str, release: str | None = None) -> list[Baseline]:
    """Delete the device's baseline of one release, or of all; return the deleted ones."""
    with transaction(db):
        gone = [one for one in of_device(db, device) if release in {None, one.release}]
        for one in gone:
            db.execute("DELETE FROM baselines WHERE device = ? AND release = ?", (one.device, one.release))
    return gone


def _read(row: sqlite3.Row) -> Baseline:
    return Baseline(
        row["device"], row["release"], row["set_at"], row["set_by"], json.loads(row["measurement"])
    )
