"""Names and paths of a simulation: Docker objects, labels, folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.inventory.simulations import folder, is_name

if TYPE_CHECKING:
    from pathlib import Path

LABEL = "dev.thorctl.sim"  # value: the simulation's name; on every container, volume and network
DEVICE_LABEL = "dev.thorctl.sim.device"  # value: the device's name
CACHE_LABEL = "dev.thorctl.cache"  # outlives a simulation, as images do; `sim down --images` removes it
REGISTRY_VOLUME = "thorctl-registry"  # the pushed engine image: the same bytes for every simulation
TIME = "time.thorctl.test"
USER = "thor"  # the administrator that JetPack's first-boot dialogue would create


def checked_sites(text: str) -> list[str]:
    """Return sites from ``a,b``, valid as site names and inventory groups.

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
    """Return the folder of a virtual machine's disk and identity."""
    return folder(name) / "virtual" / device


def network(name: str) -> str:
    """Return the name of the simulation's private network."""
    return f"thorctl-{name}"


def container(name: str, part: str) -> str:
    """Return the name of the container of a device or of a service (``registry``, ``hub``)."""
    return f"thorctl-{name}-{part}"


def volume(name: str, device: str, what: str) -> str:
    """Return the name of a device's volume: ``docker`` and ``containerd`` (its engine), or ``state``."""
    return f"thorctl-{name}-{device}-{what}"
