"""Simulations of this machine as every verb finds them: by their files, which `thorctl sim` writes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from thorctl import shipped
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "demo"
STATE = "sim.json"
REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_Part = TypeVar("_Part", bound=BaseModel)


class Upstreams(BaseModel):
    """The part of ``sim.json`` that tells where this machine reaches a simulation's registry and hub.

    Attributes:
        registry_address, hub_address: IPv4 addresses; None until the services are up.
    """

    model_config = ConfigDict(extra="ignore")

    registry_address: str | None = None
    hub_address: str | None = None

    @property
    def via(self) -> dict[str, str]:
        """``name[:port]`` -> URL."""
        found = {}
        if self.registry_address:
            found[REGISTRY] = f"http://{self.registry_address}:5000"
        if self.hub_address:
            found[HUB] = f"http://{self.hub_address}"
        return found


def is_name(name: str) -> bool:
    """Whether Docker objects, folders and inventory groups can be named after ``name``."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """Return ``name`` if a simulation can have it.

    Raises:
        ThorError: ``sim_name_invalid``.
    """
    if not is_name(name):
        raise ThorError(
            "sim_name_invalid",
            f"{name!r} is no name for a simulation.",
            "Use 1 to 31 lower-case letters, digits and dashes.",
            exit_code=2,
        )
    return name


def chosen_name(name: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Return the name of the simulation meant: the given one, else THORCTL_SIM, else ``demo``."""
    variables = os.environ if environment is None else environment
    return checked_name(name or variables.get("THORCTL_SIM") or DEFAULT_NAME)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder with a folder per simulation: THORCTL_SIM_DIR, else below `shipped.local_folder`."""
    variables = os.environ if environment is None else environment
    chosen = variables.get("THORCTL_SIM_DIR")
    return Path(chosen).absolute() if chosen else shipped.local_folder() / "sim"


def folder(name: str) -> Path:
    """Return the folder with a simulation's state, inventory and keys."""
    return home() / checked_name(name)


def state_file(name: str) -> Path:
    """Return the file that says what a simulation consists of."""
    return folder(name) / STATE


def inventory(name: str) -> Path:
    """Return the Ansible inventory: below a folder of its own, so that group_vars may stand beside it."""
    return folder(name) / "inventory" / "hosts.yml"


def names() -> list[str]:
    """Return the names of all simulations with a state on this machine, sorted."""
    return sorted(path.parent.name for path in home().glob(f"*/{STATE}")) if home().is_dir() else []


def current() -> str | None:
    """Return the name of the simulation that a call without an inventory means; None: there is none.

    THORCTL_SIM names it; else it is ``demo``; else the only one there is.
    """
    name = chosen_name()
    if state_file(name).exists():
        return name
    only = names()
    return only[0] if len(only) == 1 and not os.environ.get("THORCTL_SIM") else None


def upstreams() -> dict[str, str]:
    """Return ``name[:port]`` -> URL of the current simulation's registry and hub; empty: there is none.

    Raises:
        ThorError: ``sim_state_invalid``.
    """
    name = current()
    return read(state_file(name), Upstreams).via if name else {}


def read(path: Path, kind: type[_Part]) -> _Part:
    """Read a ``sim.json``, or that part of it which ``kind`` has.

    Raises:
        ThorError: ``sim_state_invalid``.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ThorError(
            "sim_state_invalid",
            f"{path} cannot be read: {reason}",
            f"Remove what is left with `thorctl sim down --name {path.parent.name}`, then `thorctl sim up`.",
        ) from None
