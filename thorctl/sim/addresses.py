"""Choose the private network's addresses. Reads the host's routes, and has no other side effects."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterable

CANDIDATES = tuple(
    IPv4Network(f"{prefix}.{third}.0/24")
    for prefix in ("10.213", "172.29", "192.168")
    for third in range(64, 96)
)
_REGISTRY_HOST = 2  # .1 is the bridge
_HUB_HOST = 3
_TIME_HOST = 4
_FIRST_DEVICE_HOST = 11
MAX_DEVICES = 200


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the first candidate that overlaps nothing in ``taken``.

    Raises:
        ThorError: ``no_free_subnet``.
    """
    occupied = list(taken)
    for candidate in CANDIDATES:
        if not any(candidate.overlaps(network) for network in occupied):
            return candidate
    raise ThorError(
        "no_free_subnet",
        f"No private network for a simulation is free ({CANDIDATES[0]} to {CANDIDATES[-1]}).",
        "Remove a simulation that is no longer needed: `thorctl sim list`, then `thorctl sim down "
        "--name NAME`.",
    )


def registry_address(subnet: str) -> str:
    """Return the address of the registry."""
    return str(IPv4Network(subnet)[_REGISTRY_HOST])


def hub_address(subnet: str) -> str:
    """Return the address of the hub mirror."""
    return str(IPv4Network(subnet)[_HUB_HOST])


def time_address(subnet: str) -> str:
    """Return the address of the time server."""
    return str(IPv4Network(subnet)[_TIME_HOST])


def device_address(subnet: str, number: int) -> str:
    """Return the address of the ``number``-th device, counted from 1."""
    if not 1 <= number <= MAX_DEVICES:
        raise ValueError(f"device number {number} is not within 1..{MAX_DEVICES}")
    return str(IPv4Network(subnet)[_FIRST_DEVICE_HOST + number - 1])


def parse_routes(text: str) -> list[IPv4Network]:
    """Return the networks with a route, without the default one; from ``/proc/net/route`` (proc(5))."""
    networks = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        destination, mask = (IPv4Address(bytes.fromhex(words[column])[::-1]) for column in (1, 7))
        if int(mask):
            networks.append(IPv4Network(f"{destination}/{mask}"))
    return networks


def host_routes() -> list[IPv4Network]:
    """Return the networks that this host has a route to."""
    return parse_routes(Path("/proc/net/route").read_text(encoding="ascii"))
