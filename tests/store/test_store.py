"""The store: one private file, whole after any end, and nobody else's."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from thorctl.errors import ThorError
from thorctl.store import connection
from thorctl.store.connection import opened
from thorctl.store.migrations import APPLICATION_ID, Step, statements, steps
from thorctl.store.place import store_file
from thorctl.store.transaction import transaction

ONE = Step(1, "CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT;")
TWO = Step(
    2,
    "CREATE TABLE children (parent INTEGER NOT NULL REFERENCES parents (id)) STRICT;\n"
    "INSERT INTO parents VALUES (1);",
)
BROKEN = Step(3, "INSERT INTO parents VALUES (2);\nINSERT INTO nowhere VALUES (1);")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "thorctl.sqlite3"


def number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def code(failing: pytest.ExceptionInfo[ThorError]) -> str:
    assert failing.value.remedy
    return failing.value.code


def test_it_lies_in_the_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("THORCTL_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert store_file() == tmp_path / "thorctl" / "thorctl.sqlite3"
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "mine"))
    assert store_file() == tmp_path / "mine" / "thorctl.sqlite3"
    with opened():
        assert store_file().exists()


def test_nobody_else_can_read_it(file: Path) -> None:
    before = os.umask(0)
    try:
        with opened(file) as db:
            db.execute("INSERT INTO baselines VALUES ('a', 'b', 'c', 'd', '{}')")
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {file.name: 0o600, f"{file.name}-wal": 0o600, f"{file.name}-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    with opened(file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_readers_and_a_writer_at_once_and_references_that_hold(file: Path) -> None:
    with opened(file, [ONE, TWO]) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert number(db, "synchronous") == 2
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO children VALUES (7)")


def test_each_step_is_applied_once(file: Path) -> None:
    with opened(file, [ONE]) as db:
        assert number(db, "user_version") == 1
    for _ in range(2):
        with opened(file, [ONE, TWO]) as db:
            assert number(db, "user_version") == 2
            assert number(db, "application_id") == APPLICATION_ID
            assert db.execute("SELECT count(*) FROM parents").fetchone()[0] == 1


def test_a_step_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    with opened(file, [ONE]):
        pass
    with pytest.raises(ThorError), opened(file, [ONE, TWO, BROKEN]):
        pass
    with opened(file, [ONE]) as db:
        assert number(db, "user_version") == 1
        assert [row["name"] for row in db.execute("SELECT name FROM sqlite_schema")] == ["parents"]


def test_many_that_come_first_at_once(file: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from thorctl.store.connection import opened\n"
        "from thorctl.store.baselines import Baseline, put, get\n"
        "sys.stdin.read()\n"
        "with opened(pathlib.Path(sys.argv[1])) as db:\n"
        "    put(db, Baseline(sys.argv[2], 'r', 't', 'me', {'n': 1}))\n"
    )
    words = [sys.executable, "-c", script, str(file)]
    started = [subprocess.Popen([*words, f"thor-{n}"], stdin=subprocess.PIPE) for n in range(8)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * 8
    with opened(file) as db:
        assert db.execute("SELECT count(*) FROM baselines").fetchone()[0] == 8


@pytest.mark.parametrize("at", ["step", "transaction"])
def test_killed_in_the_middle_it_is_as_before(file: Path, at: str) -> None:
    with opened(file, [ONE]):
        pass
    words = [sys.executable, str(Path(__file__).with_name("store_killed.py")), str(file), at]
    child = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"there\n"
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    with opened(file, [ONE]) as db:
        assert number(db, "user_version") == 1
        assert db.execute("SELECT count(*) FROM parents").fetchone()[0] == 0
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_block_that_fails_changes_nothing(file: Path) -> None:
    with opened(file, [ONE]) as db:
        with pytest.raises(sqlite3.IntegrityError), transaction(db):
            db.executemany("INSERT INTO parents VALUES (?)", [(1,), (1,)])
        assert db.execute("SELECT count(*) FROM parents").fetchone()[0] == 0
        with transaction(db):
            db.execute("INSERT INTO parents VALUES (1)")
        assert db.execute("SELECT count(*) FROM parents").fetchone()[0] == 1


def test_what_a_newer_thorctl_wrote_is_left_alone(file: Path) -> None:
    with opened(file, [ONE, TWO]):
        pass
    before = file.read_bytes()
    with pytest.raises(ThorError) as failing, opened(file, [ONE]):
        pass
    assert code(failing) == "store_newer"
    assert "its schema is 2, this one supports 1" in failing.value.message
    assert file.read_bytes() == before


def test_another_programs_database_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE theirs (id INTEGER)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(ThorError) as failing, opened(file):
        pass
    assert code(failing) == "store_foreign"
    assert file.read_bytes() == before


def test_a_damaged_file_is_called_that(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(ThorError) as failing, opened(file):
        pass
    assert code(failing) == "store_corrupt"
    assert "-wal" in failing.value.remedy


def test_a_place_where_nothing_can_be_written(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(ThorError) as failing, opened(file):
        pass
    assert code(failing) == "store_unusable"
    assert "THORCTL_STATE_DIR" in failing.value.remedy


def test_changes_of_a_file_that_is_gone_do_not_get_into_a_new_one(file: Path) -> None:
    with opened(file, [ONE]) as db:
        db.execute("INSERT INTO parents VALUES (1)")
        left = file.with_name(f"{file.name}-wal").read_bytes()
    file.unlink()
    file.with_name(f"{file.name}-wal").write_bytes(left)
    with pytest.raises(ThorError, match="-wal is left from another file"), opened(file, [ONE]):
        pass
    assert not file.exists()


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ThorError) as failing, opened(file):
        pass
    assert code(failing) == "store_unusable"
    assert not (tmp_path / "elsewhere").exists()


def test_a_writer_waits_for_another_but_not_for_ever(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(file, [ONE]):
        pass
    holds, over = threading.Event(), threading.Event()

    def hold() -> None:
        with opened(file, [ONE]) as db, transaction(db):
            db.execute("INSERT INTO parents VALUES (1)")
            holds.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(60)
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.2)
    with pytest.raises(ThorError) as failing, opened(file, [ONE]) as db, transaction(db):
        pass
    assert code(failing) == "store_busy"
    monkeypatch.setattr(connection, "BUSY_SECONDS", 60)
    threading.Timer(0.2, over.set).start()
    with opened(file, [ONE]) as db, transaction(db):
        db.execute("INSERT INTO parents VALUES (2)")
        assert db.execute("SELECT count(*) FROM parents").fetchone()[0] == 2
    holder.join()


def test_our_own_steps_follow_each_other() -> None:
    assert [step.number for step in steps()] == list(range(1, len(steps()) + 1))


def test_a_script_is_taken_apart_at_its_statements() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\nEND;"
    assert list(statements(f"-- why\nCREATE TABLE a (x);\n\n{trigger}\n")) == [
        "-- why\nCREATE TABLE a (x);",
        trigger,
    ]
