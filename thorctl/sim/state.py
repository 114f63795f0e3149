"""What a simulation is: ``sim.json``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thorctl.errors import ThorError
from thorctl.files import atomic
from thorctl.sim import layout
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
        docker: release of a container's Docker engine; it decides the system too.
        image_store: where a container's Docker engine keeps images.
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


class Simulation(BaseModel):
    """One simulation: a private network with upstream services and devices.

    Attributes:
        subnet: the network's IPv4 range, such as ``10.213.0.0/24``.
        registry_address, hub_address: of the upstream services; None until they are up.
        push_port: the registry on the controller's loopback, for pushing; None until it is up.
    """

    model_config = ConfigDict(extra="forbid")

    # "schema" is a method of pydantic's BaseModel: hence the alias.
    version: Literal[1] = Field(default=1, alias="schema")
    name: str
    subnet: str
    registry_address: str | None = None
    hub_address: str | None = None
    push_port: int | None = None
    devices: list[Device] = []

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
        """Holds ``sim.json``, ``inventory/``, ``ssh/``, ``hub/`` and ``virtual/``."""
        return layout.folder(self.name)

    @property
    def inventory(self) -> Path:
        """The Ansible inventory: a folder, so that group_vars may stand beside hosts.yml."""
        return self.folder / "inventory" / "hosts.yml"

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

    @property
    def via(self) -> dict[str, str]:
        """Where the controller reaches the upstream names: name[:port] → URL."""
        found = {}
        if self.registry_address:
            found[layout.REGISTRY] = f"http://{self.registry_address}:5000"
        if self.hub_address:
            found[layout.HUB] = f"http://{self.hub_address}"
        return found

    def device(self, name: str) -> Device:
        """The device of that name.

        Raises:
            ThorError: ``device_unknown``.
        """
        for device in self.devices:
            if device.name == name:
                return device
        raise ThorError(
            "device_unknown",
            f"Simulation {self.name!r} has no device {name!r}.",
            f"Its devices: {', '.join(d.name for d in self.devices) or 'none'}.",
            device=name,
            exit_code=2,
        )

    def save(self) -> None:
        """Writes ``sim.json``: whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "sim.json"
        atomic.write(path, self.model_dump_json(by_alias=True, indent=2) + "\n")


def read(path: Path) -> Simulation:
    """A simulation from its ``sim.json``.

    Raises:
        ThorError: ``sim_state_invalid``.
    """
    try:
        return Simulation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ThorError(
            "sim_state_invalid",
            f"{path} cannot be read: {reason}",
            f"Remove what is left with `thorctl sim down --name {path.parent.name}`, then `thorctl sim up`.",
        ) from None


def find(name: str | None = None) -> Simulation | None:
    """The simulation of that name (default: THORCTL_SIM, else ``demo``), or None where there is none."""
    path = layout.folder(layout.chosen_name(name)) / "sim.json"
    return read(path) if path.exists() else None


def load(name: str | None = None) -> Simulation:
    """As ``find``, but there has to be one.

    Raises:
        ThorError: ``sim_not_running``.
    """
    simulation = find(name)
    if simulation is None:
        chosen = layout.chosen_name(name)
        raise ThorError(
            "sim_not_running",
            f"There is no simulation {chosen!r}.",
            f"Start it with `thorctl sim up --name {chosen}`; `thorctl sim list` shows those there are.",
        )
    return simulation


def current() -> Simulation | None:
    """The simulation that commands without an inventory mean, or None.

    THORCTL_SIM names it; else it is ``demo``; else the only one there is.
    """
    if os.environ.get("THORCTL_SIM"):
        return find()
    simulation = find(layout.DEFAULT_NAME)
    if simulation is None and len(there := names()) == 1:
        return find(there[0])
    return simulation


def names() -> list[str]:
    """Names of all simulations with a state on this machine, sorted."""
    home = layout.home()
    return sorted(path.parent.name for path in home.glob("*/sim.json")) if home.is_dir() else []
