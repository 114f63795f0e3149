"""What an engine works with here: the record in the store, the time, the right to be the only one."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.result import Exit
from thorctl.store import rollouts
from thorctl.store.place import store_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thorctl.store.rollouts import Line

PRIVATE = 0o700


class StoreRecord:
    """A rollout's log in the store."""

    def __init__(self, db: sqlite3.Connection, rollout: str) -> None:
        self._db, self._rollout = db, rollout

    def append(self, lines: Sequence[Line]) -> None:
        """Add lines; they are on the disk when it returns."""
        rollouts.append(self._db, lines)

    def after(self, line: int) -> list[Line]:
        """Lines beyond this one."""
        return rollouts.log(self._db, self._rollout, after=line)


class WallClock:
    """The time of this machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def folder_of(rollout: str) -> Path:
    """Where the playbooks' logs of a rollout lie: beside the store."""
    return store_file().parent / "rollouts" / rollout


@contextmanager
def only_one(rollout: str) -> Iterator[None]:
    """For the length of the block no other process on this machine works on the rollout.

    Raises:
        ThorError: ``rollout_at_work``.
    """
    folder = folder_of(rollout)
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    handle = os.open(folder / "at-work.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ThorError(
                "rollout_at_work",
                f"Another thorctl on this machine is at work on rollout {rollout}.",
                f"Watch it with `thorctl rollout status {rollout} --watch`; stop it with `pause` or `abort`.",
                exit_code=Exit.LEASED,
            ) from None
        yield
    finally:
        os.close(handle)


def at_work(rollout: str) -> bool:
    """Whether a process on this machine works on it."""
    try:
        with only_one(rollout):
            return False
    except ThorError:
        return True
