"""Simulations on this machine, found by the files that `thorctl sim` writes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl import shipped
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "demo"
STATE = "sim.json"
REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


def is_name(name: str) -> bool:
    """Return whether ``name`` is valid for Docker objects, folders and inventory groups."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """Return ``name`` if it is valid for a simulation.

    Raises:
        ThorError: ``sim_name_invalid``.
    """
    if not is_name(name):
        raise ThorError(
            "sim_name_invalid",
            f"{name!r} is not a valid name of a simulation.",
            "Use 1 to 31 lower-case letters, digits and dashes.",
        )
    return name


def chosen_name(name: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Return the name of the simulation: the given one, else THORCTL_SIM, else ``demo``."""
    variables = os.environ if environment is None else environment
    return checked_name(name or variables.get("THORCTL_SIM") or DEFAULT_NAME)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of all simulations: THORCTL_SIM_DIR, else below `shipped.local_folder`."""
    variables = os.environ if environment is None else environment
    chosen = variables.get("THORCTL_SIM_DIR")
    return Path(chosen).absolute() if chosen else shipped.local_folder() / "sim"


def folder(name: str) -> Path:
    """Return the folder with a simulation's state, inventory and keys."""
    return home() / checked_name(name)


def state_file(name: str) -> Path:
    """Return the file with a simulation's state."""
    return folder(name) / STATE


def inventory(name: str) -> Path:
    """Return the Ansible inventory: in a folder of its own, so that group_vars can be added."""
    return folder(name) / "inventory" / "hosts.yml"


def names() -> list[str]:
    """Return the names of all simulations with a state on this machine, sorted."""
    return sorted(path.parent.name for path in home().glob(f"*/{STATE}")) if home().is_dir() else []


def current() -> str | None:
    """Return the name of the simulation for a call without an inventory; None: there is none.

    THORCTL_SIM selects it; else it is ``demo``; else the only one there is.
    """
    name = chosen_name()
    if state_file(name).exists():
        return name
    only = names()
    return only[0] if len(only) == 1 and not os.environ.get("THORCTL_SIM") else None
