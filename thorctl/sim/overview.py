"""What there is of simulations: as JSON, and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from thorctl.errors import ThorError
from thorctl.humane import gib
from thorctl.sim import devices

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.state import Simulation


COLUMNS = ("simulation", "device", "site", "address", "state disk", "container")


def summary(simulation: Simulation, client: DockerClient) -> dict[str, Any]:
    """A simulation as plain JSON."""
    return {
        "name": simulation.name,
        "inventory": str(simulation.inventory),
        "via": simulation.via,
        "devices": [
            {**device.model_dump(), "container": running(client, simulation.name, device.name)}
            for device in simulation.devices
        ],
    }


def running(client: DockerClient, simulation: str, device: str) -> str:
    """State of a device's container in the engine's words; ``missing`` where there is none."""
    try:
        return str(devices.get(client, simulation, device).status)
    except ThorError:
        return "missing"


def table(simulations: list[Simulation], client: DockerClient) -> Table:
    """One row a device."""
    rows = Table(*COLUMNS, box=None, pad_edge=False)
    for simulation in simulations:
        for device in simulation.devices:
            disk = gib(device.disk_bytes) if device.disk_bytes else "host's"
            status = running(client, simulation.name, device.name)
            rows.add_row(simulation.name, device.name, device.site, device.address, disk, status)
    return rows
