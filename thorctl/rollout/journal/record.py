"""What an engine works with here: a rollout's log in the store, and the time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.rollout.model.state import seconds
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
    """The time of this machine, seconds since the epoch. It goes on from a rollout's ``lines``.

    What has passed since the machine was switched on counts, sleep included; a clock that is set does not,
    while a process runs or between two of one boot. After a reboot there is the wall clock only: by it no
    time passes backwards.
    """

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        self._wall, self._began = time.time(), _since_boot()
        marks = [line for line in lines if line.data.get("boot") and "since_boot" in line.data]
        if marks and marks[-1].data["boot"] == _boot():
            self._wall, self._began = seconds(marks[-1].at), float(marks[-1].data["since_boot"])
        elif marks:
            self._wall = max(self._wall, *(seconds(line.at) for line in lines))

    def now(self) -> float:
        """Now, for what is measured."""
        return self._wall + _since_boot() - self._began

    def mark(self) -> dict[str, Any]:
        """What a line must hold for another process to go on from it: this boot, and the seconds since."""
        return {"boot": _boot(), "since_boot": _since_boot()}

    def wall(self) -> float:
        """What the clock shows."""
        return time.time()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
