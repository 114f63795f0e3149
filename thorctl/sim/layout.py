"""Names and places of a simulation: Docker objects, labels, folders. Pure."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl import shipped
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "dev.thorctl.sim"  # value: the simulation's name; on every container, volume and network
DEVICE_LABEL = "dev.thorctl.sim.device"  # value: the device's name
CACHE_LABEL = "dev.thorctl.cache"  # what outlives a simulation, as images do; `sim down --images` removes it
REGISTRY_VOLUME = "thorctl-registry"  # the pushed engine image: the same bytes for every simulation
DEFAULT_NAME = "demo"
REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"
TIME = "time.thorctl.test"
USER = "thor"  # the administrator that JetPack's first-boot dialogue would have made
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


def checked_name(name: str) -> str:
    """``name``, if Docker objects and folders can be named after it.

    Raises:
        ThorError: ``sim_name_invalid``.
    """
    if not _NAME.fullmatch(name):
        raise ThorError(
            "sim_name_invalid",
            f"{name!r} is no name for a simulation.",
            "Use 1 to 31 lower-case letters, digits and dashes.",
            exit_code=2,
        )
    return name


def checked_sites(text: str) -> list[str]:
    """Sites from ``a,b``: what a site and an inventory group can be named.

    Raises:
        ThorError: ``site_invalid``.
    """
    sites = text.split(",")
    for site in sites:
        if not _NAME.fullmatch(site):
            raise ThorError(
                "site_invalid",
                f"{site!r} is no name for a site.",
                "Use lower-case letters, digits and dashes; separate sites with a comma: --sites lab,hall.",
                exit_code=2,
            )
    return sites


def chosen_name(name: str | None, environment: Mapping[str, str] | None = None) -> str:
    """The simulation meant: the one said, else THORCTL_SIM, else ``demo``."""
    variables = os.environ if environment is None else environment
    return checked_name(name or variables.get("THORCTL_SIM") or DEFAULT_NAME)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """The folder that holds a folder per simulation: THORCTL_SIM_DIR, else below `shipped.local_folder`."""
    variables = os.environ if environment is None else environment
    chosen = variables.get("THORCTL_SIM_DIR")
    return Path(chosen).absolute() if chosen else shipped.local_folder() / "sim"


def folder(name: str) -> Path:
    """Where a simulation keeps its state, inventory and keys."""
    return home() / checked_name(name)


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
