"""The engine over the real store: controllers die, each next one has nothing but the file."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.rollout.fleets import Fleet
from tests.rollout.model_controller import Fuse, Killed, ModelExecutor
from tests.rollout.model_device import HOLDER, NEW
from thorctl.errors import ThorError
from thorctl.result import Exit
from thorctl.rollout.journal.record import SteadyClock, StoreRecord
from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.state import State, begin, text
from thorctl.rollout.run.controller import Engine
from thorctl.rollout.run.controller_lock import at_work, folder_of, only_one
from thorctl.store import rollouts
from thorctl.store.connection import opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def one_life(fleet: Fleet, rollout: str, moments: int | None, room: int | None = None) -> State | None:
    """A controller with a connection of its own, which dies after so many moments; its state at the end.

    ``room``: so many pages fit on its disk.
    """
    with opened() as db:
        if room is not None:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages + room}")  # of this connection only
        kept = rollouts.get(db, rollout)
        assert kept is not None
        record = StoreRecord(db, rollout)
        executor = ModelExecutor(fleet.world, Fuse(moments), lambda: record.after(0))
        engine = Engine(kept, record, executor, fleet.world, who=HOLDER, run=f"run-{moments}")
        try:
            return engine.run()
        except Killed:
            executor.dead()
            return None


def test_many_short_lives_make_one_whole_rollout() -> None:
    fleet = Fleet.of(*["well"] * 4, parallel=2)
    fleet.world.watch = lambda *_: None  # it looks into the record in memory
    with opened() as db:
        rollout = rollouts.put(db, fleet.rollout).id
    lives, state = 0, None
    while state is None and lives < 60:
        lives, state = lives + 1, one_life(fleet, rollout, 8 + 2 * lives)
    assert lives > 3
    assert state is not None
    assert state.ended == "finished"
    assert [(one.state, one.current, one.activations) for one in fleet.devices] == [("committed", NEW, 1)] * 4
    with opened() as db:
        kept = rollouts.get(db, rollout)
        assert kept is not None
        again = fold(begin(kept), rollouts.log(db, rollout))
    assert again == state  # what the dead ones left is all there is


def test_a_full_disk_ends_a_run_and_not_the_rollout() -> None:
    """What could not be recorded was not begun; a run after it goes on from what is there."""
    fleet = Fleet.of(*["well"] * 3)
    fleet.world.watch = lambda *_: None
    with opened() as db:
        rollout = rollouts.put(db, fleet.rollout).id
    with pytest.raises(ThorError, match="is full") as caught:
        one_life(fleet, rollout, None, room=3)
    assert caught.value.code == "store_full"
    assert any(one.staged for one in fleet.devices)
    state = one_life(fleet, rollout, None)
    assert state is not None
    assert state.ended == "finished"
    assert [(one.current, one.activations) for one in fleet.devices] == [(NEW, 1)] * 3


def test_only_one_works_on_a_rollout(state_dir: Path) -> None:
    assert not at_work("20261125-1")
    with only_one("20261125-1"):
        assert at_work("20261125-1")
        assert not at_work("20261125-2")
        with pytest.raises(ThorError) as caught, only_one("20261125-1"):
            pass
    assert (caught.value.code, caught.value.exit_code) == ("rollout_at_work", Exit.LEASED)
    assert not at_work("20261125-1")
    assert folder_of("20261125-1") == state_dir / "rollouts" / "20261125-1"
    assert folder_of("20261125-1").stat().st_mode & 0o777 == 0o700


def test_somebody_who_only_asks_is_in_nobodys_way() -> None:
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            at_work("20261125-1")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(20):
            with only_one("20261125-1"):
                pass
    finally:
        asking.set()
        thread.join()


def test_lines_are_only_added_to_what_was_known() -> None:
    fleet = Fleet.of("well", "well", "well")
    with opened() as db:
        first, other = rollouts.put(db, fleet.rollout).id, rollouts.put(db, fleet.rollout).id
        record, line = StoreRecord(db, first), fleet_line(fleet, first)
        assert record.append([line], newest=0)
        rollouts.append(db, [replace(line, rollout=other)])
        (known,) = record.after(0)
        assert record.append([line], newest=known.id)  # another rollout's line is nobody's business
        assert not record.append([line, line], newest=known.id)
        assert len(record.after(0)) == 2


def fleet_line(fleet: Fleet, rollout: str) -> rollouts.Line:
    fleet.start()
    return replace(fleet.record.lines[0], rollout=rollout)


def test_a_clock_that_is_set_shortens_no_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    began, wall = clock.now(), time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 86_400)
    assert clock.now() - began < 3600
    assert clock.wall() == wall + 86_400


def marked(at: float, mark: dict[str, Any]) -> rollouts.Line:
    return rollouts.Line("20261130-1", text(at), "ann", "r", "started", data=mark)


@pytest.mark.parametrize("seconds", [-3600.0, 10 * 365 * 86_400.0, -1e9])
def test_clock_set_between_two_runs_of_a_rollout_changes_no_age(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """The process was killed, the clock was set, the rollout is resumed: a soak is as old as it is."""
    clock = SteadyClock()
    line, wall = marked(clock.now(), clock.mark()), time.time()
    monkeypatch.setattr(time, "time", lambda: wall + seconds)
    later = marked(clock.now() + 60, {})  # of whoever ordered something meanwhile
    assert abs(SteadyClock([line, later]).now() - clock.now()) < 1


def test_clock_set_back_over_a_reboot_lets_no_time_pass_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    lines = [marked(clock.now(), {"boot": "another", "since_boot": 5.0}), marked(clock.now() + 60, {})]
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock.now() + 59 < SteadyClock(lines).now() < clock.now() + 70
    assert SteadyClock([marked(1e9, {})]).now() < 1e6  # a run of an earlier version left no mark
