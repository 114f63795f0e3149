"""A device's switch, whatever kind it is: reboot, power cut, power on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.sim import devices, virtual_devices

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.state import Device


def reboot(client: DockerClient, simulation: str, device: Device) -> None:
    """An orderly reboot: every unit is stopped first. Returns when the device is up again."""
    if device.kind == "virtual":
        virtual_devices.machine(simulation, device).reboot()
    else:
        devices.reboot(client, simulation, device.name)


def cut(client: DockerClient, simulation: str, device: Device) -> None:
    """A power cut: every process dies at once, and the device stays off."""
    if device.kind == "virtual":
        virtual_devices.machine(simulation, device).cut()
    else:
        devices.cut(client, simulation, device.name)


def power_on(client: DockerClient, simulation: str, device: Device) -> None:
    """Boots a device that is off; one that is on is left alone."""
    if device.kind == "virtual":
        machine = virtual_devices.machine(simulation, device)
        machine.power_on()
        machine.wait_booted()
    else:
        devices.power_on(client, simulation, device.name)


def status(client: DockerClient, simulation: str, device: Device) -> str:
    """In one word: ``running``, or what it is instead; ``missing`` where there is nothing of it."""
    if device.kind == "virtual":
        return virtual_devices.status(simulation, device)
    return devices.status(client, simulation, device.name)
