"""Two devices that serve the same release, and a project with two to roll out: a good and a bad one."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e.site_world import PROFILE, THORCTL
from tests.playbooks.playbook_run import playbook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.simulated import Simulated

DEVICES = ("thor-01", "thor-02")
OTHER = "tiny-qwable-other"  # the same bytes, another environment: another release
# A short soak, and speeds that two noisy cores cannot miss.
POLICY = """---
schema: 1
name: quick
description: For tests.
canary: {count: 1}
waves: [{rest: true}]
soak_seconds: 5
errors: {stop_at_devices: 1}
speed: {tolerance_percent: 95}
"""
PROFILE_OTHER = f"""---
schema: 1
extends: {PROFILE}
name: {OTHER}
description: The same model with another environment.
environment: {{THORCTL_ROLLOUT: other}}
"""


@dataclass(frozen=True)
class Pair:
    """Two devices of the simulation, the project, and the operator's own store."""

    sim: Simulated
    project: Path
    state: Path

    def provision(self) -> PlaybookRun:
        """Both devices on the first release, by site.yml."""
        return playbook(
            *("-i", str(self.sim.simulation.inventory), "--limit", ",".join(DEVICES), "site.yml"),
            *("-e", f"thor_deploy={self.project / 'deploy'}", "-e", f"thor_profile={PROFILE}"),
        )

    def add_releases(self) -> None:
        """The other release, and the policy."""
        deploy = self.project / "deploy"
        (deploy / "policies").mkdir()
        (deploy / "policies" / "quick.yml").write_text(POLICY)
        (deploy / "profiles" / f"{OTHER}.yml").write_text(PROFILE_OTHER)
        done = self.thorctl("lock", OTHER)
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, *words: str) -> list[str]:
        """The command line of ``thorctl WORDS``."""
        inventory = str(self.sim.simulation.inventory)
        return [str(THORCTL), "--project", str(self.project), "-i", inventory, *words]

    def thorctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``thorctl WORDS``, output captured."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "THORCTL_STATE_DIR": str(self.state)},
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

    def status(self, device: str) -> dict[str, Any]:
        """Data of the agent's status."""
        done = self.sim.ssh(device, "sudo thor-agent status")
        data: dict[str, Any] = json.loads(done.stdout)["data"]
        return data

    def releases(self) -> list[tuple[str, str | None]]:
        """State and release of each device."""
        return [(one["state"], one["release"]) for one in map(self.status, DEVICES)]

    def activations(self, device: str) -> int:
        """How often the device was ever told to activate something, from its own journal."""
        count = self.sim.run(device, "sudo grep -o '\"activation\": *[0-9]*' /var/lib/thor/state.json")
        return int(count.rpartition(":")[2])

    def engine_started_at(self, device: str) -> str:
        """When the engine's container was started."""
        return self.sim.run(device, "sudo docker inspect --format '{{.State.StartedAt}}' thor-engine")

    @contextmanager
    def at_work(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """``thorctl WORDS`` running beside the test."""
        with subprocess.Popen(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "THORCTL_STATE_DIR": str(self.state)},
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
