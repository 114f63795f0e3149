"""What the device does with whoever still holds the lock when a trial's time is up.

A smoke or a benchmark of an engine that drips can last for hours, and a trial must not last as long: it is
ended. Who is on a way back, commits or cleans up is waited for.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.locking import has_open
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.state import deadline, journal_file

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context

ENDED = ("smoke", "bench", "activate")  # an activation goes back by itself when it is told to end
KILL_SECONDS = 600.0  # stopping an engine takes 240 s at most; who is not gone then hangs


class Impatience:
    """Called again and again while the lock is held: asks its owner to end, and at last sees to it.

    ``only_in`` is the timer's: one that was left over ends nobody. ``leave_alone``: seconds before it begins.
    """

    def __init__(self, ctx: Context, only_in: str | None, leave_alone: float, *locks: Path) -> None:
        self._ctx, self._locks, self._only_in = ctx, locks, only_in
        self._begins = ctx.clock.monotonic() + leave_alone
        self._asked: int | None = None
        self._since = 0.0

    def __call__(self, owner: dict[str, Any]) -> None:
        """``owner`` is what the lock's file says; it may be another one each time."""
        pid = owner.get("pid")
        if owner.get("verb") not in ENDED or not isinstance(pid, int):
            return
        if not any(has_open(pid, lock) for lock in self._locks):  # another process by the same number
            return
        now = self._ctx.clock.monotonic()
        if self._only_in is None or now < self._begins:
            return
        try:
            if not deadline.still_meant(journal_file.load(self._ctx.paths), self._only_in):
                return
        except AgentError:
            return
        if pid != self._asked:
            self._asked, self._since = pid, now
            self._send(pid, signal.SIGTERM, owner)
        elif now - self._since >= KILL_SECONDS:
            self._since = now
            self._send(pid, signal.SIGKILL, owner)

    def _send(self, pid: int, number: signal.Signals, owner: dict[str, Any]) -> None:
        self._ctx.log.warning(
            "the trial's time is up: %s to `%s` of %s", number.name, owner["verb"], owner.get("holder")
        )
        with suppress(ProcessLookupError):
            os.kill(pid, number)
