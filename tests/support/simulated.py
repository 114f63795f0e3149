"""A simulation under test: run commands on its devices, and reach them as Ansible would."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.sim import devices, down, layout, state, up
from thorctl.ui.console import Console
from thorctl.ui.progress import StepProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.sim.state import Simulation

CHECKOUT = Path(__file__).resolve().parents[2]
SSH_TIMEOUT_SECONDS = 900  # a verb may wait for an engine, and an engine for its turn on a busy host


@dataclass(frozen=True)
class Simulated:
    """The running simulation ``name`` and the engine it runs on."""

    client: DockerClient
    name: str

    @property
    def simulation(self) -> Simulation:
        """Its state as of now."""
        return state.load(self.name)

    def container(self, device: str) -> Container:
        """The device's container: the way in that no test of SSH may use."""
        return devices.get(self.client, self.name, device)

    def ssh(
        self,
        device: str,
        command: str,
        *,
        user: str = layout.USER,
        known_hosts: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command, as the administrator, over SSH with strict host key checking; does not raise."""
        words = self.ssh_words(device, command, user=user, known_hosts=known_hosts, options=options)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=SSH_TIMEOUT_SECONDS)

    def ssh_words(
        self,
        device: str,
        command: str,
        *,
        user: str = layout.USER,
        known_hosts: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> list[str]:
        """The command line that ``ssh`` runs."""
        simulation = self.simulation
        place = simulation.device(device)
        settings = ("BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=10", "StrictHostKeyChecking=yes")
        return [
            *("ssh", "-F", "none", *(word for setting in settings for word in ("-o", setting))),
            *("-i", str(simulation.private_key)),
            *("-o", f"UserKnownHostsFile={known_hosts or simulation.known_hosts}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", *options),
            *("-p", str(place.port), f"{user}@{place.address}", command),
        ]

    def run(self, device: str, command: str) -> str:
        """As ``ssh``, but the command has to succeed; its output without the last newline."""
        done = self.ssh(device, command)
        assert done.returncode == 0, f"{device}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")


@contextmanager
def running(
    client: DockerClient,
    name: str,
    *,
    devices: int,
    sites: Sequence[str] = (up.DEFAULT_SITE,),
    options: up.ContainerOptions = up.DEFAULT_OPTIONS,
    virtual: int = 0,
) -> Iterator[Simulated]:
    """A simulation of that name for the length of the block; nothing of it stays. Needs ``sim_home``."""
    progress = StepProgress(Console(stderr=True, force_terminal=False))
    try:
        up.up(client, name, devices, progress, sites=sites, options=options, virtual=virtual)
        yield Simulated(client, name)
    finally:
        down.down(client, name, progress)
