"""A virtual Thor that goes on, as often as asked, from moments that were saved with memory and disk.

Each time its disk is a fresh overlay over the saved one. What the machine writes goes to new clusters of it,
whose places QEMU keeps in its memory until the machine flushes: killing QEMU loses all else, overwrites too.
A cluster is as small as a block of the file system: a flush lets later writes beside it survive as little.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.sim import virtual_monitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.sim.virtual_machine import VirtualThor
    from thorctl.sim.virtual_monitor import Monitor

ANSWER_TIMEOUT_SECONDS = 900.0
BLOCK_BYTES = 4096  # of ext4 on the machine's disk
_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class SavedMachine:
    """``machine`` has a monitor; the saved moments lie in ``store``."""

    machine: VirtualThor
    store: Path

    def save(self, moment: str) -> None:
        """Keeps this moment and ends the machine; what it is at in it goes on whenever it is restored."""
        self.machine.save(self._memory(moment))
        self.machine.disk.rename(self._disk(moment))

    def restore(self, moment: str) -> None:
        """The machine as it was in that moment, whatever it is now; returns when it answers."""
        self.machine.cut()
        self.machine.disk.unlink(missing_ok=True)
        backing = ["-F", "qcow2", "-b", str(self._disk(moment))]
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={BLOCK_BYTES}", *backing]
        subprocess.run([*words, str(self.machine.disk)], check=True)
        self.machine.power_on(memory=self._memory(moment))
        self.wait_answering()

    def wait_answering(self) -> None:
        """Returns when it takes commands."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        while self.machine.boot_id() is None:
            assert self.machine.pid is not None, "QEMU ended by itself"
            assert time.monotonic() < deadline, "no answer; see its console.log"
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """QEMU's own monitor of the running machine."""
        place = self.machine.hardware.monitor
        assert place is not None
        with virtual_monitor.connected(place, self.machine.hardware.name) as monitor:
            yield monitor

    def _memory(self, moment: str) -> Path:
        return self.store / f"{moment}.memory"

    def _disk(self, moment: str) -> Path:
        return self.store / f"{moment}.qcow2"
