"""The state of a simulation: ``sim.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from thorctl.errors import ThorError
from thorctl.files import atomic
from thorctl.inventory import simulations, upstreams
from thorctl.sim.image_inputs import Docker

if TYPE_CHECKING:
    from pathlib import Path


ImageStore = Literal["classic", "containerd"]
DEFAULT_DOCKER: Docker = "26.1"


class Device(BaseModel):
    """A simulated device.

    Attributes:
        kind: a container, or a virtual machine.
        address: on the private network; a virtual machine is behind this host's loopback.
        port: of its SSH at that address.
        disk_bytes: size of a container's /var/lib/thor; None: the host's disk.
        docker: release of a container's Docker engine, which determines the system too.
        image_store: image store of a container's Docker engine.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: Literal["container", "virtual"] = "container"
    address: str
    port: int = 22
    site: str
    disk_bytes: int | None = None
    docker: Docker = DEFAULT_DOCKER
    image_store: ImageStore = "classic"


class Simulation(upstreams.Upstreams):
    """One simulation: a private network with upstream services and devices.

    Attributes:
        subnet: the network's IPv4 range, such as ``10.213.0.0/24``.
        push_port: the registry on the controller's loopback, for pushing; None until it is up.
    """

    model_config = ConfigDict(extra="forbid")

    # "schema" is a method of pydantic's BaseModel: hence the alias.
    version: Literal[1] = Field(default=1, alias="schema")
    name: str
    subnet: str
    push_port: int | None = None
    devices: list[Device] = Field(default=[])

    @property
    def containers(self) -> list[Device]:
        """The devices that are containers."""
        return [device for device in self.devices if device.kind == "container"]

    @property
    def virtual(self) -> list[Device]:
        """The devices that are virtual machines."""
        return [device for device in self.devices if device.kind == "virtual"]

    @property
    def folder(self) -> Path:
        """The folder of ``sim.json``, ``inventory/``, ``ssh/``, ``hub/`` and ``virtual/``."""
        return simulations.folder(self.name)

    @property
    def inventory(self) -> Path:
        """The Ansible inventory: a folder, so that group_vars can be added beside hosts.yml."""
        return simulations.inventory(self.name)

    @property
    def private_key(self) -> Path:
        """The administrator's SSH key."""
        return self.folder / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The devices' host keys: read from containers through the engine, given to virtual machines."""
        return self.folder / "ssh" / "known_hosts"

    @property
    def hub_tree(self) -> Path:
        """The files behind the hub mirror."""
        return self.folder / "hub"

    def device(self, name: str) -> Device:
        """Return the device of that name.

        Raises:
            ThorError: ``device_unknown``.
        """
        for device in self.devices:
            if device.name == name:
                return device
        raise ThorError(
            "device_unknown",
            f"Simulation {self.name!r} has no device {name!r}.",
            f"Name one of: {', '.join(d.name for d in self.devices) or 'none'}.",
            device=name,
        )

    def save(self) -> None:
        """Write ``sim.json`` atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write(simulations.state_file(self.name), self.model_dump_json(by_alias=True, indent=2) + "\n")


def find(name: str | None = None) -> Simulation | None:
    """Return the simulation of that name (default: THORCTL_SIM, else ``demo``), or None."""
    path = simulations.state_file(simulations.chosen_name(name))
    return upstreams.read(path, Simulation) if path.exists() else None


def load(name: str | None = None) -> Simulation:
    """Return the simulation as ``find`` does; raise if there is none.

    Raises:
        ThorError: ``sim_not_running``.
    """
    found = find(name)
    if found is None:
        chosen = simulations.chosen_name(name)
        raise ThorError(
            "sim_not_running",
            f"There is no simulation {chosen!r}.",
            f"Start it with `thorctl sim up --name {chosen}`, or name one that `thorctl sim list` shows.",
        )
    return found
