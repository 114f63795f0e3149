"""Names and places of a simulation: Docker objects, labels, folders. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.inventory.simulations import folder, is_name

if TYPE_CHECKING:
    from pathlib import Path

LABEL = "dev.thorctl.sim"  # value: the simulation's name; on every container, volume and network
DEVICE_LABEL = "dev.thorctl.sim.device"  # value: the device's name
CACHE_LABEL = "dev.thorctl.cache"  # what outlives a simulation, as images do; `sim down --images` removes it
REGISTRY_VOLUME = "thorctl-registry"  # the pushed engine image: the same bytes for every simulation
TIME = "time.thorctl.test"
USER = "thor"  # the administrator that JetPack's first-boot dialogue would have made


def checked_sites(text: str) -> list[str]:
    """Sites from ``a,b``: what a site and an inventory group can be named.

    Raises:
        ThorError: ``site_invalid``.
    """
    sites = text.split(",")
    for site in sites:
        if not is_name(site):
            raise ThorError(
                "site_invalid",
                f"{site!r} is not a valid name of a site.",
                "Use lower-case letters, digits and dashes; separate sites with a comma: --sites lab,hall.",
            )
    return sites


def virtual_folder(name: str, device: str) -> Path:
    """Where a virtual machine has its disk and its identity."""
    return folder(name) / "virtual" / device


def network(name: str) -> str:
    """The simulation's private network."""
    return f"thorctl-{name}"


def container(name: str, part: str) -> str:
    """The container of a device or of an upstream service (``registry``, ``hub``)."""
    return f"thorctl-{name}-{part}"


def volume(name: str, device: str, what: str) -> str:
    """A device's volume: ``docker`` and ``containerd`` (its engine's data) or ``state`` (/var/lib/thor)."""
    return f"thorctl-{name}-{device}-{what}"
