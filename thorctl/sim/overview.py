"""Summarise the simulations, as JSON and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from thorctl.sim import power
from thorctl.sim.inventory import SSH_PORT
from thorctl.ui.format import data_size

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.state import Simulation


COLUMNS = ("simulation", "device", "kind", "site", "address", "docker", "state disk", "status")


def summary(simulation: Simulation, client: DockerClient) -> dict[str, Any]:
    """Return a simulation as plain JSON."""
    return {
        "name": simulation.name,
        "inventory": str(simulation.inventory),
        "via": simulation.via,
        "devices": [
            {**device.model_dump(), "status": power.status(client, simulation.name, device)}
            for device in simulation.devices
        ],
    }


def table(simulations: list[Simulation], client: DockerClient) -> Table:
    """Format one row per device."""
    rows = Table(*COLUMNS, box=None, pad_edge=False)
    for simulation in simulations:
        for device in simulation.devices:
            disk = "its own" if device.kind == "virtual" else "host's"
            if device.disk_bytes:
                disk = data_size(device.disk_bytes)
            address = device.address if device.port == SSH_PORT else f"{device.address}:{device.port}"
            status = power.status(client, simulation.name, device)
            engine: str = device.docker
            if device.image_store != "classic":
                engine += f" {device.image_store}"
            rows.add_row(
                simulation.name, device.name, device.kind, device.site, address, engine, disk, status
            )
    return rows
