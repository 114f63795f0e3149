"""Steps for a playbook are gathered for a moment, so that one playbook does them for many devices.

Devices get ready one after the other, within seconds. A playbook for each of them would cost the controller
more than it gains: eleven at once on two processors took four minutes for what one does in less than one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.rollout.run.controller import Begun

QUIET_SECONDS = 2.0  # nobody new for so long: begin
LONGEST_SECONDS = 15.0  # the first one waits no longer than this, whoever may come


class Batches:
    """Hands steps of the same verb to ``play`` together, each batch on a thread of its own."""

    def __init__(
        self,
        play: Callable[[str, Sequence[Begun]], None],
        closed: threading.Event,
        *,
        quiet: float = QUIET_SECONDS,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._play, self._closed, self._quiet, self._longest = play, closed, quiet, longest
        self._lock = threading.Lock()
        self._open: dict[str, list[Begun]] = {}
        self._last: dict[str, float] = {}
        self.threads: list[threading.Thread] = []

    def add(self, verb: str, steps: Sequence[Begun]) -> None:
        """These steps, in the batch that is open, or in a new one."""
        with self._lock:
            self._last[verb] = time.monotonic()
            if verb in self._open:
                self._open[verb] += steps
                return
            self._open[verb] = list(steps)
        thread = threading.Thread(target=self._gather, args=(verb,), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _gather(self, verb: str) -> None:
        latest = time.monotonic() + self._longest
        while True:
            with self._lock:
                until = min(self._last[verb] + self._quiet, latest)
                if time.monotonic() >= until:
                    steps = self._open.pop(verb)
                    break
            if self._closed.wait(max(0.0, until - time.monotonic())):
                return  # begun on the record, and on no device: whoever takes over looks
        self._play(verb, steps)
