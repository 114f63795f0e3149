"""A provisioned virtual Thor for power cuts: its moments saved, its power cut, its end looked at."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.system.vm import cut_phases
from tests.system.vm.cut_phases import PLACE, WAY
from tests.system.vm.power_cuts import SOAKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.vm.cut_verdict import Shipped
    from tests.system.vm.power_cuts import Cut, Phase
    from tests.system.vm.saved_machine import SavedMachine

COMMAND_SECONDS = 1800.0  # for a verb on an emulated machine of a busy host
THORCTL = Path(sys.executable).parent / "thorctl"
PROBE = Path(__file__).with_name("cut_probe.py")
SOAK_SECONDS = 20  # of a trial in which nothing happens but what every machine writes
_POLL_SECONDS = 0.002  # an emulated machine takes longer for an operation of its disk


@dataclass(frozen=True)
class Severed:
    """How a phase was cut: whether its verb had answered, and after how many of its disk's operations."""

    answered: bool
    operations: int
    of: int


@dataclass(frozen=True)
class CutWorld:
    """``saved`` has every moment that a phase starts from; ``work`` is each phase's disk operations."""

    saved: SavedMachine
    project: Path
    inventory: Path
    releases: Mapping[str, Shipped]
    work: dict[Phase, int]

    def rehearse(self) -> None:
        """Goes the whole way once, from the moment ``fresh``: saves the others, and measures the phases."""
        for phase, start, end in WAY:
            self.saved.restore(start)
            with self.saved.monitor() as monitor:
                before = monitor.disk_work().operations
                self.order(cut_phases.command(phase, self.releases))
                time.sleep(SOAK_SECONDS if phase in SOAKS else 0)
                self.work[phase] = monitor.disk_work().operations - before
            if end is not None:
                self.saved.save(end)
        self.saved.machine.cut()

    def sever(self, cut: Cut) -> Severed:
        """Has the machine do the phase, and cuts its power at the moment that was drawn."""
        self.saved.restore(cut.start)
        goal = max(1, math.ceil(cut.fraction * self.work[cut.phase]))
        order = cut_phases.command(cut.phase, self.releases)
        with self.saved.monitor() as monitor, ThreadPoolExecutor(max_workers=1) as pool:
            before = monitor.disk_work().operations
            verb = pool.submit(self.saved.machine.ssh, order, timeout=COMMAND_SECONDS)
            done, over = 0, math.inf
            while done < goal and time.monotonic() < over:
                time.sleep(_POLL_SECONDS)
                done = monitor.disk_work().operations - before
                if verb.done() and over == math.inf:
                    over = time.monotonic() + (2 * SOAK_SECONDS if cut.phase in SOAKS else 0)
            time.sleep(cut.pause)
            answered = verb.done()
            self.saved.machine.cut()
        said = verb.result()
        assert not answered or said.returncode == 0, f"{order}: {said.stdout}{said.stderr}"
        # What it said before its power went counts, also where it was not heard in time to be counted above.
        return Severed(answered or said.returncode == 0, done, self.work[cut.phase])

    def come_back(self) -> dict[str, Any]:
        """Power again: what the probe sees when the machine has booted."""
        self.saved.machine.power_on()
        self.saved.wait_answering()
        return self.look()

    def look(self) -> dict[str, Any]:
        """What the probe sees."""
        seen: dict[str, Any] = json.loads(self.order(f"sudo python3 {PLACE}/{PROBE.name}"))
        return seen

    def roll_out(self, name: str, *, by_thorctl: bool) -> None:
        """A new release, committed in the end: by the agent's own verbs, or all of `thorctl rollout`."""
        if not by_thorctl:
            self.order(cut_phases.rollout(name, self.releases))
            return
        words = [str(THORCTL), "--project", str(self.project), "-i", str(self.inventory), "rollout", "start"]
        words += [name, "--policy", cut_phases.POLICY, "--yes"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    def order(self, command: str) -> str:
        """Has the machine run ``command``, which has to succeed; its output."""
        done = self.saved.machine.ssh(command, timeout=COMMAND_SECONDS)
        assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def bring(self, name: str, content: bytes) -> None:
        """Writes a file into the place on the device that the tests use."""
        text = base64.b64encode(content).decode()
        self.order(f"mkdir -p {PLACE} && echo {text} | base64 -d > {PLACE}/{name}")
