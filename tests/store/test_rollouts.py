"""The rollout log: added to and never changed, whole lines only, and rates that come from what went well."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.store.rollouts import STEP_BEGUN, STEP_ENDED, Line, Measured, Rollout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = "2026-11-25T12:00:00.000+00:00"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "store.sqlite3") as connection:
        yield connection


def new(db: sqlite3.Connection, at: str = AT) -> Rollout:
    return rollouts.put(db, Rollout(at, "ann@desk", "m", {"name": "plain"}, {"waves": []}, {"m-1": {"a": 1}}))


def line(of: Rollout, kind: str = STEP_BEGUN, **values: Any) -> Line:
    return Line(of.id, AT, "ann@desk", "run-1", kind, **values)


def test_ids_count_through_the_day(db: sqlite3.Connection) -> None:
    assert [new(db).id, new(db).id] == ["20261125-1", "20261125-2"]
    assert new(db, "2026-11-26T00:00:00+00:00").id == "20261126-1"
    assert [one.id for one in rollouts.newest(db, 2)] == ["20261126-1", "20261125-2"]
    assert [one.id for one in rollouts.later(db, "20261125-1")] == ["20261125-2", "20261126-1"]
    assert rollouts.later(db, "20261126-1") == []


@pytest.mark.parametrize(
    "at", ["1970-01-01T00:00:09+00:00", "2026-11-25T11:00:00+00:00", "2036-11-25T12:00:00+00:00"]
)
def test_newest_rollout_is_the_last_one_though_the_clock_was_set(db: sqlite3.Connection, at: str) -> None:
    first, second, third = new(db), new(db, at), new(db)
    assert [one.id for one in rollouts.newest(db, 3)] == [third.id, second.id, first.id]


def test_what_is_put_is_what_is_got(db: sqlite3.Connection) -> None:
    made = new(db)
    assert rollouts.get(db, made.id) == made
    assert rollouts.get(db, "20000101-1") is None


def test_the_log_keeps_order_and_content(db: sqlite3.Connection) -> None:
    one, other = new(db), new(db)
    begun = rollouts.append(
        db, [line(one, device="thor-01", verb="look"), line(one, "paused", message="lunch")]
    )
    (end,) = rollouts.append(
        db, [line(one, STEP_ENDED, device="thor-01", step=begun[0].id, ok=True, data={"ü": 1})]
    )
    rollouts.append(db, [line(other, device="thor-02")])
    assert rollouts.log(db, one.id) == [*begun, end]
    assert rollouts.log(db, one.id, after=begun[1].id) == [end]
    assert rollouts.log(db, one.id, device="thor-01") == [begun[0], end]
    assert end.ok is True


def test_a_step_ends_once(db: sqlite3.Connection) -> None:
    one = new(db)
    (begun,) = rollouts.append(db, [line(one)])
    rollouts.append(db, [line(one, STEP_ENDED, step=begun.id)])
    with pytest.raises(sqlite3.IntegrityError):
        rollouts.append(db, [line(one, "note"), line(one, STEP_ENDED, step=begun.id)])
    assert len(rollouts.log(db, one.id)) == 2  # nothing of the refused lines


def test_lines_of_no_rollout_are_refused(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        rollouts.append(db, [Line("20000101-1", AT, "ann", "run", "note")])


@pytest.mark.parametrize("statement", ["UPDATE rollout_log SET message = 'x'", "DELETE FROM rollout_log"])
def test_nobody_changes_the_trail(db: sqlite3.Connection, statement: str) -> None:
    rollouts.append(db, [line(new(db))])
    with pytest.raises(sqlite3.IntegrityError, match="only added to"):
        db.execute(statement)


def ended(of: Rollout, verb: str, data: dict[str, Any], ok: bool = True) -> Line:
    return line(of, STEP_ENDED, device="thor-01", verb=verb, ok=ok, data={"data": data})


def test_rates_are_the_last_that_went_well(db: sqlite3.Connection) -> None:
    one = new(db)
    assert rollouts.measured(db, "thor-01") == Measured()
    rollouts.append(
        db,
        [
            ended(one, "stage", {"downloaded_bytes": 1000, "seconds": 10}),
            ended(one, "stage", {"downloaded_bytes": 0, "seconds": 1}),  # nothing came: nothing was measured
            ended(one, "stage", {"downloaded_bytes": 9, "seconds": 1}, ok=False),
            ended(one, "activate", {"ready_seconds": 62.5}),
            ended(one, "smoke", {"seconds": None}),
        ],
    )
    assert rollouts.measured(db, "thor-01") == Measured(100.0, 62.5, None)
    assert rollouts.measured(db, "thor-02") == Measured()
