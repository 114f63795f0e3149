"""What an engine works with here: a rollout's log in the store, and the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from thorctl.store import rollouts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from thorctl.store.rollouts import Line


class StoreRecord:
    """A rollout's log in the store."""

    def __init__(self, db: sqlite3.Connection, rollout: str) -> None:
        self._db, self._rollout = db, rollout

    def append(self, lines: Sequence[Line], *, newest: int | None = None) -> bool:
        """Add lines; they are on the disk when it returns. With ``newest``, only while that is the last."""
        return len(rollouts.append(self._db, lines, newest=newest)) == len(lines)

    def after(self, line: int) -> list[Line]:
        """Lines beyond this one."""
        return rollouts.log(self._db, self._rollout, after=line)


class SteadyClock:
    """The time of this machine, seconds since the epoch."""

    def __init__(self) -> None:
        self._wall, self._began = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        """What has passed since this process began counts, sleep included; a clock that is set does not."""
        return self._wall + time.clock_gettime(time.CLOCK_BOOTTIME) - self._began

    def wall(self) -> float:
        """What the clock shows."""
        return time.time()
