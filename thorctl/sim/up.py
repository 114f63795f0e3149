"""Brings a simulation up: each step looks first and does only what is missing, so a second call is quick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import addresses, devices, images, inventory, layout, objects, services, ssh_key, state
from thorctl.sim.refusals import explained
from thorctl.sim.report import timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import DockerClient

    from thorctl.sim.images import Report
    from thorctl.sim.state import Device, Simulation

DEFAULT_SITE = "lab"


def check_count(present: int, count: int) -> None:
    """Refuses a number of devices that cannot be, before anything is made.

    Raises:
        ThorError: ``sim_too_many_devices``; ``sim_fewer_devices`` (``up`` takes no device away).
    """
    if count > addresses.MAX_DEVICES:
        raise ThorError(
            "sim_too_many_devices",
            f"{count} devices do not fit into a simulation.",
            f"Ask for at most {addresses.MAX_DEVICES}.",
            exit_code=2,
        )
    if count < present:
        raise ThorError(
            "sim_fewer_devices",
            f"The simulation has {present} devices already; `up` takes none away.",
            "Take it down with `thorctl sim down`, then bring it up with fewer.",
            exit_code=2,
        )


def planned_devices(
    present: Sequence[Device], count: int, *, subnet: str, sites: Sequence[str], disk_bytes: int | None
) -> list[Device]:
    """Those present, and new ones up to ``count``, dealt to the sites in turn. Pure."""
    added = [
        state.Device(
            name=f"thor-{number:02d}",
            address=addresses.device_address(subnet, number),
            site=sites[(number - 1) % len(sites)],
            disk_bytes=disk_bytes,
        )
        for number in range(len(present) + 1, count + 1)
    ]
    return [*present, *added]


def up(
    client: DockerClient,
    name: str,
    count: int,
    report: Report,
    *,
    sites: Sequence[str] = (DEFAULT_SITE,),
    disk_bytes: int | None = None,
) -> Simulation:
    """A simulation with ``count`` running devices and its upstream services.

    Raises:
        ThorError: from any step; what is made so far stays, is known to ``sim.json`` and removed by ``down``.
    """
    with explained(name):
        return _up(client, name, count, report, sites=sites, disk_bytes=disk_bytes)


def _up(
    client: DockerClient,
    name: str,
    count: int,
    report: Report,
    *,
    sites: Sequence[str],
    disk_bytes: int | None,
) -> Simulation:
    simulation = state.find(name)
    check_count(len(simulation.devices) if simulation else 0, count)
    image = images.ensure(client, "sim-device", report)
    if simulation is None:
        if name in objects.names(client):
            raise ThorError(
                "sim_name_taken",
                f"The engine has a simulation {name!r}, but its state is not in {layout.folder(name)}.",
                f"Remove them with `thorctl sim down --name {name}`, or choose another --name.",
            )
        subnet = objects.claim_network(client, name, addresses.host_routes())
        simulation = state.Simulation(name=name, subnet=subnet)
    simulation.devices = planned_devices(
        simulation.devices, count, subnet=simulation.subnet, sites=sites, disk_bytes=disk_bytes
    )
    simulation.save()
    with timed(report, "network", f"{layout.network(name)} {simulation.subnet}"):
        objects.ensure_network(client, name, simulation.subnet)
    _boot(client, simulation, image.name, report)
    services.ensure(client, simulation, report)
    return simulation


def _boot(client: DockerClient, simulation: Simulation, image: str, report: Report) -> None:
    authorized_key = ssh_key.ensure(simulation.private_key)

    def boot(device: Device) -> str:
        with timed(report, f"device {device.name}", device.address):
            devices.ensure(
                client, device, simulation=simulation.name, image=image, authorized_key=authorized_key
            )
            container = devices.get(client, simulation.name, device.name)
            devices.wait_booted(container, device.name)
            return devices.host_key(container, device.name)

    with ThreadPoolExecutor(max_workers=4) as pool:
        keys = dict(
            zip((d.address for d in simulation.devices), pool.map(boot, simulation.devices), strict=True)
        )
    simulation.known_hosts.write_text(inventory.known_hosts(keys), encoding="ascii")
    simulation.inventory.parent.mkdir(parents=True, exist_ok=True)
    simulation.inventory.write_text(inventory.to_yaml(inventory.inventory(simulation)), encoding="utf-8")
