"""Devices of a simulation as an operator's fleet: ``thorctl`` as one operator says it, devices asked."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.system.e2e.site_world import THORCTL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.simulated import Simulated


@dataclass(frozen=True)
class FleetWorld:
    """The devices, the project whose releases they get, and one operator.

    Attributes:
        state: the operator's own store, as on a machine of theirs.
        operator: the name they are logged in with; None: whoever runs the tests.
    """

    sim: Simulated
    project: Path
    state: Path
    operator: str | None = None

    @property
    def inventory(self) -> Path:
        """What the operator names with -i."""
        return self.sim.simulation.inventory

    def command(self, *words: str) -> list[str]:
        """The command line of ``thorctl WORDS``."""
        return [str(THORCTL), "--project", str(self.project), "-i", str(self.inventory), *words]

    def environment(self) -> dict[str, str]:
        """The operator's."""
        login = {"LOGNAME": self.operator} if self.operator else {}
        return {**os.environ, "THORCTL_STATE_DIR": str(self.state), **login}

    def thorctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``thorctl WORDS``, output captured."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=self.environment(),
        )

    def json(self, *words: str) -> dict[str, Any]:
        """The envelope of ``thorctl WORDS --json``: its last line, or all of it."""
        done = self.thorctl(*words, "--json")
        text = done.stdout.strip()
        try:
            envelope: dict[str, Any] = json.loads(text)
        except ValueError:
            envelope = json.loads(text.splitlines()[-1])
        assert envelope["exit_code"] == done.returncode, done.stderr
        return envelope

    @contextmanager
    def at_work(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """``thorctl WORDS`` running beside the test."""
        with subprocess.Popen(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment(),
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def status(self, device: str) -> dict[str, Any]:
        """Data of the agent's status."""
        done = self.sim.ssh(device, "sudo thor-agent status")
        data: dict[str, Any] = json.loads(done.stdout)["data"]
        return data

    def activations(self, device: str) -> int:
        """How often the device was ever told to activate something, from its own journal."""
        count = self.sim.run(device, "sudo grep -o '\"activation\": *[0-9]*' /var/lib/thor/state.json")
        return int(count.rpartition(":")[2])

    def engine_started_at(self, device: str) -> str:
        """When the engine's container was started."""
        return self.sim.run(device, "sudo docker inspect --format '{{.State.StartedAt}}' thor-engine")
