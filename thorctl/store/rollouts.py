"""Rollouts and their log. Lines are only added; replaying them gives a rollout's state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thorctl.store.transaction import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

STEP_BEGUN, STEP_ENDED = "step_begun", "step_ended"
_COLUMNS = ("rollout", "at", "who", "run", "kind", "device", "wave", "verb", "step", "ok", "code", "message")


@dataclass(frozen=True, slots=True)
class Rollout:
    """The constants of a rollout.

    Attributes:
        id: such as ``20261125-1``; assigned by ``put``.
        began_at: RFC 3339, UTC.
        began_by: ``user@host``: the holder of its leases.
        label: the requested profile or release.
        policy, plan: as plain data.
        releases: id -> release document.
    """

    began_at: str
    began_by: str
    label: str
    policy: Mapping[str, Any]
    plan: Mapping[str, Any]
    releases: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log.

    Attributes:
        at: RFC 3339, UTC, with milliseconds.
        who, run: the operator, and the process that wrote it.
        kind: ``step_begun``, ``step_ended``, or an event of the whole rollout.
        step: for an end, the id of the begin's line.
        data: the verb's data, or that of the event.
    """

    rollout: str
    at: str
    who: str
    run: str
    kind: str
    device: str | None = None
    wave: int | None = None
    verb: str | None = None
    step: int | None = None
    ok: bool | None = None
    code: str | None = None
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a device's last steps; None = never measured."""

    bytes_per_second: float | None = None
    switch_seconds: float | None = None
    smoke_seconds: float | None = None


def put(db: sqlite3.Connection, rollout: Rollout) -> Rollout:
    """Store a new rollout; return it with its id, the day and a number."""
    day = rollout.began_at[:10].replace("-", "")
    with transaction(db):
        row = db.execute("SELECT count(*) FROM rollouts WHERE id GLOB ?", (f"{day}-*",)).fetchone()
        named = replace(rollout, id=f"{day}-{row[0] + 1}")
        texts = [_json(named.policy), _json(named.plan), _json(named.releases)]
        db.execute(
            "INSERT INTO rollouts (id, began_at, began_by, label, policy, plan, releases) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (named.id, named.began_at, named.began_by, named.label, *texts),
        )
    return named


def get(db: sqlite3.Connection, rollout: str) -> Rollout | None:
    """Return the rollout of that id."""
    return next(map(_rollout, db.execute("SELECT * FROM rollouts WHERE id = ?", (rollout,))), None)


def newest(db: sqlite3.Connection, limit: int = 1) -> list[Rollout]:
    """Return the last rollouts, the newest first: by row, as the clock may have been set back."""
    rows = db.execute("SELECT * FROM rollouts ORDER BY rowid DESC LIMIT ?", (limit,))
    return [_rollout(row) for row in rows]


def later(db: sqlite3.Connection, rollout: str) -> list[Rollout]:
    """Return the rollouts that began after this one, the oldest first."""
    rows = db.execute(
        "SELECT * FROM rollouts WHERE rowid > (SELECT rowid FROM rollouts WHERE id = ?) ORDER BY rowid",
        (rollout,),
    )
    return [_rollout(row) for row in rows]


def append(db: sqlite3.Connection, lines: Sequence[Line], *, newest: int | None = None) -> list[Line]:
    """Add lines atomically and durably. Return them with their ids.

    With ``newest``, only if no line of that rollout has a higher id; else nothing is added.
    """
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    added: list[Line] = []
    with transaction(db):
        if newest is not None and _last_of(db, lines[0].rollout) > newest:
            return added
        for line in lines:
            values = asdict(line)
            row = [values[name] for name in _COLUMNS] + [_json(line.data)]
            cursor = db.execute(
                f"INSERT INTO rollout_log ({', '.join(_COLUMNS)}, data) VALUES ({marks})",  # noqa: S608 - ours
                row,
            )
            added.append(replace(line, id=int(cursor.lastrowid or 0)))
    return added


def _last_of(db: sqlite3.Connection, rollout: str) -> int:
    row = db.execute("SELECT max(id) FROM rollout_log WHERE rollout = ?", (rollout,)).fetchone()
    return int(row[0] or 0)


def log(db: sqlite3.Connection, rollout: str, *, after: int = 0, device: str | None = None) -> list[Line]:
    """Return the lines of a rollout after the line ``after``, in order; of one device, or all."""
    rows = db.execute(
        "SELECT * FROM rollout_log WHERE rollout = ? AND id > ? AND (? IS NULL OR device = ?) ORDER BY id",
        (rollout, after, device, device),
    )
    return [_line(row) for row in rows]


def measured(db: sqlite3.Connection, device: str) -> Measured:
    """Return the figures of the last successful staging, switch and smoke test of a device."""
    staged = _last(db, device, "stage", least=1)
    return Measured(
        bytes_per_second=_ratio(staged.get("downloaded_bytes"), staged.get("seconds")),
        switch_seconds=_number(_last(db, device, "activate").get("ready_seconds")),
        smoke_seconds=_number(_last(db, device, "smoke").get("seconds")),
    )


def _last(db: sqlite3.Connection, device: str, verb: str, least: int = 0) -> dict[str, Any]:
    """Return the data of the verb's last success with at least ``least`` downloaded bytes."""
    row = db.execute(
        "SELECT data FROM rollout_log WHERE device = ? AND verb = ? AND kind = ? AND ok = 1 "
        "AND coalesce(json_extract(data, '$.data.downloaded_bytes'), 0) >= ? ORDER BY id DESC LIMIT 1",
        (device, verb, STEP_ENDED, least),
    ).fetchone()
    data = json.loads(row["data"]).get("data") if row else None
    return data if isinstance(data, dict) else {}


def _ratio(size: object, seconds: object) -> float | None:
    amount, time = _number(size), _number(seconds)
    return amount / time if amount and time else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value > 0 else None


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _rollout(row: sqlite3.Row) -> Rollout:
    plain = {name: row[name] for name in ("id", "began_at", "began_by", "label")}
    return Rollout(**plain, **{name: json.loads(row[name]) for name in ("policy", "plan", "releases")})


def _line(row: sqlite3.Row) -> Line:
    plain = {name: row[name] for name in (*_COLUMNS, "id") if name != "ok"}
    return Line(**plain, ok=None if row["ok"] is None else bool(row["ok"]), data=json.loads(row["data"]))
