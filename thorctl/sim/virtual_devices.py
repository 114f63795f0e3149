"""A simulation's virtual Thors: create, boot, find, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.inventory import simulations
from thorctl.inventory.simulations import HUB, REGISTRY
from thorctl.sim import addresses, layout, virtual_image
from thorctl.sim.virtual_command import Hardware
from thorctl.sim.virtual_machine import VirtualThor

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.sim.state import Device, Simulation


def machine(simulation: str, device: Device) -> VirtualThor:
    """Return the machine of that device, created or not."""
    return VirtualThor(layout.virtual_folder(simulation, device.name), Hardware(device.name, device.port))


def ensure(simulation: Simulation, device: Device, *, image: Path | None, authorized_key: str) -> VirtualThor:
    """Boot the device's machine; create it (from ``image``) if missing, switch it on if off.

    Raises:
        ThorError: as ``VirtualThor.create``, ``power_on`` and ``wait_booted``.
    """
    found = machine(simulation.name, device)
    if not found.exists:
        assert image is not None  # noqa: S101 - `up` passes it if a machine is missing
        # Hosts of the private network are reachable through QEMU's user network, except its name server.
        hosts = {
            REGISTRY.partition(":")[0]: addresses.registry_address(simulation.subnet),
            HUB: addresses.hub_address(simulation.subnet),
            layout.TIME: addresses.time_address(simulation.subnet),
        }
        found.create(image, authorized_key=authorized_key, private_key=simulation.private_key, hosts=hosts)
    found.power_on()
    found.wait_booted()
    return found


def status(simulation: str, device: Device) -> str:
    """Return ``running``, ``off``, or ``missing``, as the engine does for containers."""
    found = machine(simulation, device)
    if not found.exists:
        return "missing"
    return "off" if found.pid is None else "running"


def remove(simulation: str) -> int:
    """Stop and remove every virtual machine below the simulation's folder; needs no readable state."""
    folders = sorted((simulations.folder(simulation) / "virtual").glob("*"))
    for folder in folders:
        VirtualThor(folder, Hardware(folder.name, port=0)).destroy()
    return len(folders)


def remove_images() -> int:
    """Remove all versions of the virtual Thors' image; return their number."""
    return virtual_image.remove()
