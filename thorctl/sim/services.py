"""The upstream services of a simulation: an OCI registry and a hub mirror, filled once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.images import Report
    from thorctl.sim.state import Simulation


def ensure(client: DockerClient, simulation: Simulation, report: Report) -> None:
    """Placeholder until the origin image exists."""
