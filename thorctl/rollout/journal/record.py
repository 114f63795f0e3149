"""A rollout's log in the store, and the clock of its controller."""

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
        """Append lines durably; return whether. With ``newest``, only if that is still the last line."""
        return len(rollouts.append(self._db, lines, newest=newest)) == len(lines)

    def after(self, line: int) -> list[Line]:
        """Return the lines after ``line``."""
        return rollouts.log(self._db, self._rollout, after=line)


class SteadyClock:
    """The controller's clock, seconds since the epoch, monotonic over the processes of a rollout.

    Within a boot it advances by the clock since boot, suspend included, and ignores changes of the wall
    clock, also between two processes. After a reboot it continues from the wall clock, never backwards.
    """

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        self._wall, self._began = time.time(), _since_boot()
        marks = [line for line in lines if line.data.get("boot") and "since_boot" in line.data]
        if marks and marks[-1].data["boot"] == _boot():
            self._wall, self._began = seconds(marks[-1].at), float(marks[-1].data["since_boot"])
        elif marks:
            self._wall = max(self._wall, *(seconds(line.at) for line in lines))

    def now(self) -> float:
        """Return the time for measurements."""
        return self._wall + _since_boot() - self._began

    def mark(self) -> dict[str, Any]:
        """Return the fields of a line that let another process continue: the boot, and its age in seconds."""
        return {"boot": _boot(), "since_boot": _since_boot()}

    def wall(self) -> float:
        """Return the wall clock's time."""
        return time.time()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
