"""Baselines in the store: one a device and release, replaced and forgotten by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from thorctl.store.baselines import Baseline, forget, get, of_device, put
from thorctl.store.connection import opened

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

OLD = Baseline("thor-01", "tiny-0123456789ab", "2026-11-24T10:00:00Z", "ada@desk", {"tok": 41.8, "what": "ü"})
NEW = replace(OLD, release="tiny-ba9876543210", set_at="2026-11-25T10:00:00Z")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "store.sqlite3") as connection:
        yield connection


def test_what_was_put_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as db:
        put(db, OLD)
    with opened(tmp_path / "s") as db:
        assert get(db, OLD.device, OLD.release) == OLD


def test_there_is_one_a_device_and_release(db: sqlite3.Connection) -> None:
    put(db, OLD)
    put(db, NEW)
    later = replace(OLD, set_at="2026-11-26T10:00:00Z", set_by="bob@desk", measurement={"tok": 40})
    put(db, later)
    put(db, replace(OLD, device="thor-02"))
    assert get(db, "thor-01", OLD.release) == later
    assert of_device(db, "thor-01") == [later, NEW]
    assert get(db, "thor-03", OLD.release) is None


def test_one_or_all_of_a_device_are_forgotten(db: sqlite3.Connection) -> None:
    other = replace(OLD, device="thor-02")
    for one in (OLD, NEW, other):
        put(db, one)
    assert forget(db, "thor-01", "tiny-000000000000") == []
    assert forget(db, "thor-01", OLD.release) == [OLD]
    assert forget(db, "thor-01") == [NEW]
    assert of_device(db, "thor-01") == []
    assert of_device(db, "thor-02") == [other]
