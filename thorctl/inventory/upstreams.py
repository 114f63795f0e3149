"""Addresses of a simulation's registry and hub for this machine, from ``sim.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from thorctl.errors import ThorError
from thorctl.inventory import simulations
from thorctl.inventory.simulations import HUB, REGISTRY

if TYPE_CHECKING:
    from pathlib import Path

_Part = TypeVar("_Part", bound=BaseModel)


class Upstreams(BaseModel):
    """The part of ``sim.json`` with the addresses of a simulation's registry and hub.

    Attributes:
        registry_address, hub_address: IPv4 addresses; None until the services are up.
    """

    model_config = ConfigDict(extra="ignore")

    registry_address: str | None = None
    hub_address: str | None = None

    @property
    def via(self) -> dict[str, str]:
        """Return ``name[:port]`` -> URL."""
        found = {}
        if self.registry_address:
            found[REGISTRY] = f"http://{self.registry_address}:5000"
        if self.hub_address:
            found[HUB] = f"http://{self.hub_address}"
        return found


def upstreams() -> dict[str, str]:
    """Return ``name[:port]`` -> URL of the current simulation's registry and hub; {}: there is none.

    Raises:
        ThorError: ``sim_state_invalid``.
    """
    name = simulations.current()
    return read(simulations.state_file(name), Upstreams).via if name else {}


def read(path: Path, kind: type[_Part]) -> _Part:
    """Read a ``sim.json``, or the part of it that ``kind`` has.

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
            f"Remove the rest with `thorctl sim down --name {path.parent.name}`, then `thorctl sim up`.",
        ) from None
