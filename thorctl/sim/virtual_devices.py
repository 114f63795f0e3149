"""A simulation's virtual Thors: made, booted, found again, removed."""

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
    """The machine of that device, whether it was made yet or not."""
    return VirtualThor(layout.virtual_folder(simulation, device.name), Hardware(device.name, device.port))


def ensure(simulation: Simulation, device: Device, *, image: Path | None, authorized_key: str) -> VirtualThor:
    """The device's machine, booted; made (from ``image``) if missing, switched on if it is off.

    Raises:
        ThorError: as ``VirtualThor.create``, ``power_on`` and ``wait_booted``.
    """
    found = machine(simulation.name, device)
    if not found.exists:
        assert image is not None  # noqa: S101 - `up` has it where a machine is missing
        # What stands on the private network is reached through QEMU's user network, but not its name server.
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
    """``running``, ``off``, or ``missing``; in one word, as the engine says it of containers."""
    found = machine(simulation, device)
    if not found.exists:
        return "missing"
    return "off" if found.pid is None else "running"


def remove(simulation: str) -> int:
    """Ends and removes every virtual machine below the simulation's folder; needs no readable state."""
    folders = sorted((simulations.folder(simulation) / "virtual").glob("*"))
    for folder in folders:
        VirtualThor(folder, Hardware(folder.name, port=0)).destroy()
    return len(folders)


def remove_images() -> int:
    """Removes what virtual Thors are made from; how many versions of it there were."""
    return virtual_image.remove()
