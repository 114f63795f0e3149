"""Reboot, cut and restore a device's power, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.sim import devices, virtual_devices

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.state import Device


def reboot(client: DockerClient, simulation: str, device: Device) -> None:
    """Reboot a device regularly: every unit is stopped first. Return when it is up again."""
    if device.kind == "virtual":
        virtual_devices.machine(simulation, device).reboot()
    else:
        devices.reboot(client, simulation, device.name)


def cut(client: DockerClient, simulation: str, device: Device) -> None:
    """Cut a device's power: every process dies at once, and the device stays off."""
    if device.kind == "virtual":
        virtual_devices.machine(simulation, device).cut()
    else:
        devices.cut(client, simulation, device.name)


def power_on(client: DockerClient, simulation: str, device: Device) -> None:
    """Boot a device that is off; leave a running one alone."""
    if device.kind == "virtual":
        machine = virtual_devices.machine(simulation, device)
        machine.power_on()
        machine.wait_booted()
    else:
        devices.power_on(client, simulation, device.name)


def status(client: DockerClient, simulation: str, device: Device) -> str:
    """Return ``running`` or another state in one word; ``missing`` if the device does not exist."""
    if device.kind == "virtual":
        return virtual_devices.status(simulation, device)
    return devices.status(client, simulation, device.name)
