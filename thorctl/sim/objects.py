"""The Docker objects of a simulation, found by label: network, containers, volumes."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import docker.types
from docker.errors import APIError, ImageNotFound, NotFound

from thorctl.sim import addresses, images, layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import DockerClient

    Filters = dict[str, str | list[str] | bool]


def taken_subnets(client: DockerClient) -> list[IPv4Network]:
    """Return the IPv4 ranges of the engine's networks."""
    found = []
    for network in client.networks.list():
        for block in (network.attrs.get("IPAM") or {}).get("Config") or []:
            subnet = block.get("Subnet", "")
            if subnet and ":" not in subnet:
                found.append(IPv4Network(subnet, strict=False))
    return found


def claim_network(client: DockerClient, simulation: str, taken: list[IPv4Network]) -> str:
    """Create the private network in the first free range; return the range. Safe against concurrent calls.

    Raises:
        ThorError: ``no_free_subnet``.
    """
    while True:
        subnet = addresses.choose_subnet([*taken, *taken_subnets(client)])
        try:
            ensure_network(client, simulation, str(subnet))
        except APIError as error:
            if "overlap" not in str(error.explanation).lower():
                raise
            taken = [*taken, subnet]
        else:
            return str(subnet)


def ensure_network(client: DockerClient, simulation: str, subnet: str) -> None:
    """Create the private network if missing."""
    name = layout.network(simulation)
    try:
        client.networks.get(name)
    except NotFound:
        pool = docker.types.IPAMPool(subnet=subnet)
        client.networks.create(
            name,
            driver="bridge",
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            labels={layout.LABEL: simulation},
        )


def names(client: DockerClient) -> set[str]:
    """Return the names of all simulations of which the engine has an object."""
    label: Filters = {"label": layout.LABEL}
    found = {c.labels[layout.LABEL] for c in client.containers.list(all=True, filters=label)}
    found |= {v.attrs["Labels"][layout.LABEL] for v in client.volumes.list(filters=label)}
    found |= {n.attrs["Labels"][layout.LABEL] for n in client.networks.list(filters=label)}
    return found


def remove(client: DockerClient, simulation: str) -> int:
    """Remove every object of the simulation; return their number. A missing one is no error."""
    label: Filters = {"label": f"{layout.LABEL}={simulation}"}
    count = 0
    for container in client.containers.list(all=True, filters=label):
        # `v`: anonymous volumes too. Killed, not stopped: none of its data is kept.
        count += _gone(partial(container.remove, force=True, v=True))
    for volume in client.volumes.list(filters=label):
        count += _gone(partial(volume.remove, force=True))
    for network in client.networks.list(filters=label):
        count += _gone(network.remove)
    return count


def remove_cache(client: DockerClient) -> int:
    """Remove what outlives a simulation: the images built for it, and the registry's content."""
    count = 0
    for volume in client.volumes.list(filters={"label": layout.CACHE_LABEL}):
        count += _gone(partial(volume.remove, force=True))
    # Children before parents: an image below others is removed in a later round.
    for _ in images.KINDS:
        for image in client.images.list(filters={"label": images.LABEL}):
            try:
                client.images.remove(str(image.id), force=True)
                count += 1
            except (ImageNotFound, APIError):
                continue
    return count


def _gone(remove: Callable[[], object]) -> int:
    try:
        remove()
    except NotFound:
        return 0
    return 1
