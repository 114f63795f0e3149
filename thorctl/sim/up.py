"""Start a simulation: each step does only what is missing, so a repeated call is fast."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.inventory import simulations
from thorctl.protocol.plural import counted
from thorctl.sim import (
    addresses,
    devices,
    images,
    inventory,
    layout,
    objects,
    services,
    ssh_key,
    state,
    virtual_devices,
    virtual_image,
    virtual_machine,
)
from thorctl.sim.image_inputs import Docker, device_kind
from thorctl.sim.ports import free_port
from thorctl.sim.refusals import explained
from thorctl.sim.report import timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from docker import DockerClient

    from thorctl.sim.images import Report
    from thorctl.sim.state import Device, ImageStore, Simulation

DEFAULT_SITE = "lab"


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """The properties of new container devices; as the attributes of ``state.Device``."""

    disk_bytes: int | None = None
    docker: Docker = state.DEFAULT_DOCKER
    image_store: ImageStore = "classic"


DEFAULT_OPTIONS = ContainerOptions()


@dataclass(frozen=True, slots=True)
class Made:
    """The sources of new devices: image names, a folder; None for a kind without new devices."""

    containers: Mapping[Docker, str]
    virtual: Path | None


def check_count(present: int, count: int) -> None:
    """Reject an impossible number of devices, before anything is created.

    Raises:
        ThorError: ``sim_too_many_devices``; ``sim_fewer_devices`` (``up`` removes no device).
    """
    if count > addresses.MAX_DEVICES:
        raise ThorError(
            "sim_too_many_devices",
            f"A simulation of {counted(count, 'device')} is too large.",
            f"Ask for at most {addresses.MAX_DEVICES}.",
        )
    if count < present:
        raise ThorError(
            "sim_fewer_devices",
            f"The simulation has {counted(present, 'device')} already; `thorctl sim up` removes none.",
            "Remove it with `thorctl sim down`, then start it with fewer devices.",
        )


def check_image_store(options: ContainerOptions) -> None:
    """Reject an image store that the release of Docker does not have.

    Raises:
        ThorError: ``sim_image_store_unsupported``.
    """
    if options.docker == "20.10" and options.image_store == "containerd":
        raise ThorError(
            "sim_image_store_unsupported",
            "Docker 20.10 has no containerd image store.",
            "Choose --docker 26.1 or --docker 28.5, or --image-store classic.",
        )


def planned_devices(
    present: Sequence[Device],
    count: int,
    *,
    subnet: str,
    sites: Sequence[str],
    options: ContainerOptions = DEFAULT_OPTIONS,
) -> list[Device]:
    """Return the present containers, and new ones up to ``count``, assigned to the sites in turn."""
    added = [
        state.Device(
            name=f"thor-{number:02d}",
            address=addresses.device_address(subnet, number),
            site=sites[(number - 1) % len(sites)],
            **asdict(options),
        )
        for number in range(len(present) + 1, count + 1)
    ]
    return [*present, *added]


def planned_virtual(
    present: Sequence[Device], count: int, *, sites: Sequence[str], free_port: Callable[[], int]
) -> list[Device]:
    """Return the present virtual machines, and new ones up to ``count``, assigned to the sites in turn."""
    added = [
        state.Device(
            name=f"thor-vm-{number:02d}",
            kind="virtual",
            docker=virtual_image.DOCKER,
            address=virtual_machine.LOOPBACK,
            port=free_port(),
            site=sites[(number - 1) % len(sites)],
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
    options: ContainerOptions = DEFAULT_OPTIONS,
    virtual: int = 0,
) -> Simulation:
    """Run a simulation with ``count`` containers and ``virtual`` machines, and its services.

    Raises:
        ThorError: from any step; what exists by then stays, is in ``sim.json``, and is removed by ``down``.
    """
    with explained(name):
        return _up(client, name, count, report, sites=sites, options=options, virtual=virtual)


def _up(
    client: DockerClient,
    name: str,
    count: int,
    report: Report,
    *,
    sites: Sequence[str],
    options: ContainerOptions,
    virtual: int,
) -> Simulation:
    simulation = state.find(name)
    machines = simulation.virtual if simulation else []
    present = simulation.containers if simulation else []
    check_count(len(present), count)
    check_image_store(options)
    check_count(len(machines), virtual)
    dockers = {device.docker for device in present} | ({options.docker} if count > len(present) else set())
    whole = [device for device in machines if virtual_devices.machine(name, device).exists]
    made_from = Made(
        containers={
            docker: images.ensure(client, device_kind(docker), report).name for docker in sorted(dockers)
        },
        # An existing machine keeps its image: a newer one is not built for it.
        virtual=virtual_image.ensure(report).folder if virtual > len(whole) else None,
    )
    if simulation is None:
        if name in objects.names(client):
            raise ThorError(
                "sim_name_taken",
                f"The engine has a simulation {name!r}, but its state is not in {simulations.folder(name)}.",
                f"Remove it with `thorctl sim down --name {name}`, or choose another --name.",
            )
        subnet = objects.claim_network(client, name, addresses.host_routes())
        simulation = state.Simulation(name=name, subnet=subnet)
    simulation.devices = [
        *planned_devices(
            simulation.containers, count, subnet=simulation.subnet, sites=sites, options=options
        ),
        *planned_virtual(simulation.virtual, virtual, sites=sites, free_port=free_port),
    ]
    simulation.save()
    with timed(report, "network", f"{layout.network(name)} {simulation.subnet}"):
        objects.ensure_network(client, name, simulation.subnet)
    _boot(client, simulation, made_from, report)
    services.ensure(client, simulation, report)
    return simulation


def _boot(client: DockerClient, simulation: Simulation, made_from: Made, report: Report) -> None:
    authorized_key = ssh_key.ensure(simulation.private_key)

    def boot(device: Device) -> str:
        with timed(report, f"device {device.name}", device.address):
            if device.kind == "virtual":
                return virtual_devices.ensure(
                    simulation, device, image=made_from.virtual, authorized_key=authorized_key
                ).host_key
            devices.ensure(
                client,
                device,
                simulation=simulation.name,
                image=made_from.containers[device.docker],
                authorized_key=authorized_key,
            )
            container = devices.get(client, simulation.name, device.name)
            devices.wait_booted(container, device.name)
            return devices.host_key(container, device.name)

    with ThreadPoolExecutor(max_workers=4) as pool:
        places = [(device.address, device.port) for device in simulation.devices]
        keys = dict(zip(places, pool.map(boot, simulation.devices), strict=True))
    simulation.known_hosts.write_text(inventory.known_hosts(keys), encoding="ascii")
    simulation.inventory.parent.mkdir(parents=True, exist_ok=True)
    simulation.inventory.write_text(inventory.to_yaml(inventory.inventory(simulation)), encoding="utf-8")
