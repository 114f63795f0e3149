"""A row of a rollout: real ``thorctl rollout`` over two container devices; the first is the canary."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from tests.system.faults.container_ground import NEW, OLD, restore
from tests.system.faults.container_states import DISARM, START, unstage
from tests.system.faults.container_world import ContainerWorld, serves
from tests.system.faults.rollout_faults import FAULTS
from tests.system.faults.row import Seen
from tests.system.fleet.fleet_world import FleetWorld

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.system.faults.container_ground import Ground

# Any failure stops it; nobody is waited for long. `brisk` judges the speed, `quick` hardly.
_POLICY = """---
schema: 1
name: {name}
description: For the fault table.
canary: {{count: 1}}
waves: [{{rest: true}}]
soak_seconds: 20
errors: {{stop_at_devices: 1}}
offline: {{budget_percent: 0}}
speed: {{tolerance_percent: {tolerance}}}
wait: {{lease_seconds: 0, silence_seconds: 30, evidence_seconds: 0}}
"""
QUICK, BRISK = "quick", "brisk"
_TOLERANCES = {QUICK: 97, BRISK: 60}
_CHANGES = ("activate", "commit", "rollback", "recover")  # what of the record a rollout's row is about


class RolloutWorld:
    """Both devices serve ``old``; one operator rolls ``new`` out.

    Attributes:
        answer: where the rollout stands at the end, in thorctl's own word.
    """

    def __init__(self, ground: Ground, exits: ExitStack, stores: Path) -> None:
        self.ground, self.stores = ground, stores
        self.canary = ContainerWorld(ground, exits)
        self.device = self.canary.device
        self.fleet = FleetWorld(ground.sim, ground.project, stores / "ann", operator="ann")
        self.release, self.policy = NEW, QUICK
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        exits.callback(self.kill)
        folder = ground.project / "deploy" / "policies"
        for name, tolerance in _TOLERANCES.items():
            (folder / f"{name}.yml").write_text(_POLICY.format(name=name, tolerance=tolerance))

    def reach(self, state: str) -> None:
        for device in (self.ground.first, self.ground.second):
            restore(self.ground, device)
        STATES[state](self)

    def befall(self, fault: str) -> None:
        FAULTS[fault](self)

    def seen(self) -> Seen:
        """Of the canary; the other device follows a rollout that finished, and no other."""
        found = self.canary.seen()
        second = NEW if self.answer == "finished" else OLD
        beside = self.ground.second
        assert (beside.journal()["state"], serves(self.ground, beside)) == ("committed", second)
        record = tuple(entry for entry in found.record if entry.partition(":")[0] in _CHANGES)
        return Seen(self.answer, found.ends, found.serves, record)

    # The controller.

    def start(self) -> None:
        """The rollout, beside the test."""
        words = ("rollout", "start", self.release, "--policy", self.policy, "--yes")
        self.canary.told = len(self.device.events())
        self.process = subprocess.Popen(
            self.fleet.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.fleet.environment(),
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def until_it_says(self, *words: str) -> None:
        """Returns once its lines held these words, one after the other."""
        self.device.wait(f"the rollout says {words}", lambda: self._said(*words))

    def _said(self, *words: str) -> bool:
        """A rollout that ended without them never will."""
        assert self.process is not None
        ended = self.process.poll() is not None
        lines = iter(list(self.lines))
        found = all(any(wanted in line for line in lines) for wanted in words)
        assert found or not ended, "".join(self.lines)
        return found

    def kill(self) -> None:
        """kill -9 of the controller."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end(self) -> None:
        """The rollout goes on to its end."""
        assert self.process is not None
        self.process.wait(timeout=1200)
        self.look()

    def look(self) -> None:
        """Ask thorctl where it stands."""
        self.answer = str(self.fleet.json("rollout", "status")["data"]["status"])

    def let_go(self) -> None:
        """What held the device half way holds it no more."""
        self.device.go_on()
        self.device.modes({})
        if self.canary.proxy:
            self.canary.proxy.go_on()

    def _listen(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


def _begins(world: RolloutWorld) -> None:
    """The fault lies there before it starts."""


def _stages(world: RolloutWorld) -> None:
    unstage(world.canary, image=True)
    world.canary.through_proxy("hub", 8)
    world.start()
    assert world.canary.proxy is not None
    proxy = world.canary.proxy
    world.device.wait("it is half way", proxy.reached.is_set)


def _activates(world: RolloutWorld) -> None:
    world.device.stop_at(START)
    world.start()
    world.device.reached()


def _smokes(world: RolloutWorld) -> None:
    world.device.modes({NEW: "slow"})
    world.start()
    progress = 'grep -q \'"verb": *"smoke"\' /run/thor/progress.json'
    world.device.wait(
        "the new release is smoked",
        lambda: world.device.journal()["state"] == "trial" and world.device.tries(progress)[0] == 0,
    )


def _soaks(world: RolloutWorld) -> None:
    world.start()
    world.until_it_says("thor-01: on trial", "thor-01: smoke test passed")  # the one before was of old


def _commits(world: RolloutWorld) -> None:
    _soaks(world)
    world.device.stop_at(DISARM)
    world.device.reached()


STATES: dict[str, Callable[[RolloutWorld], None]] = {
    "a rollout begins": _begins,
    "a rollout stages": _stages,
    "a rollout activates": _activates,
    "a rollout smokes": _smokes,
    "a rollout soaks": _soaks,
    "a rollout commits": _commits,
}
