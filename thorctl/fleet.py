"""The fleet: devices as the Ansible inventory names them. There is no second list of devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.fleet_pattern import matching
from thorctl.fleet_variables import Variables

if TYPE_CHECKING:
    from collections.abc import Mapping

# Every device is in this group (docs/interfaces.md); seeds and proxies of the same inventory are not.
GROUP = "thor"
# What an inventory folder must hold to count as one; a folder with only examples does not.
INVENTORY_FILES = ("hosts.yml", "hosts.yaml", "hosts.ini", "hosts")


@dataclass(frozen=True, slots=True)
class Device:
    """One device: how to reach it, where it belongs, what it is to serve."""

    name: str
    host: str
    port: int = 22
    user: str | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    ssh_args: str = ""
    site: str | None = None
    device_class: str | None = None
    profile: str | None = None
    groups: tuple[str, ...] = ()
    edge_names: tuple[str, ...] = ()  # further names that clients use, for its certificate
    preflight_skip: tuple[str, ...] = ()  # checks whose failure is only a warning


def find_inventory(chosen: Path | None, project: Path, simulation: Path | None = None) -> Path:
    """The inventory to use: the chosen one, else the project's, else the running simulation's.

    Raises:
        ThorError: ``inventory_missing``.
    """
    if chosen is not None:
        if chosen.exists():
            return chosen
        raise ThorError(
            "inventory_missing",
            f"There is no inventory {chosen}.",
            "Name an existing file or folder with -i, or leave it out for the project's own.",
            exit_code=2,
        )
    for folder in (project / "inventory", project / "playbooks" / "inventory"):
        if any((folder / name).is_file() for name in INVENTORY_FILES):
            return folder
    if simulation is not None and simulation.is_file():
        return simulation
    raise ThorError(
        "inventory_missing",
        f"No devices are known: {project / 'inventory'} has no hosts.yml, and no simulation is running.",
        "Write inventory/hosts.yml (playbooks/inventory/example shows how), name one with -i, "
        "or start simulated devices: `thorctl sim up`.",
        exit_code=2,
    )


def load(inventory: Path, limit: str | None = None, config: Path | None = None) -> list[Device]:
    """The devices of an inventory in its order, narrowed by an Ansible ``--limit`` pattern.

    Args:
        inventory: file or folder.
        limit: such as ``thor-0*``, ``lab``, ``thor-01,thor-02``, ``all,!thor-03``; None = all.
        config: the ``ansible.cfg`` to read, so that the inventory means what it means to the playbooks.

    Raises:
        ThorError: ``inventory_invalid``, ``inventory_empty``, ``device_unknown``, ``pattern_invalid``.
    """
    listing = read(inventory, config)
    groups = members(listing)
    if not groups.get(GROUP):
        raise ThorError(
            "inventory_empty",
            f"{inventory} names no device: the group {GROUP!r} is empty or missing.",
            f"Put every device into the group {GROUP!r}; playbooks/inventory/example shows how.",
        )
    names = matching(limit, groups, GROUP) if limit else groups[GROUP]
    hostvars: Mapping[str, Mapping[str, Any]] = listing["_meta"]["hostvars"]
    return [device(name, hostvars.get(name, {}), groups, inventory) for name in names]


def read(inventory: Path, config: Path | None = None) -> dict[str, Any]:
    """The JSON of ``ansible-inventory --list``, with this environment's own Ansible."""
    tool = Path(sys.executable).with_name("ansible-inventory")
    # By default Ansible shrugs at a file it cannot parse; here that would hide devices.
    environment = {
        **os.environ,
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    if config is not None and config.is_file():
        environment.setdefault("ANSIBLE_CONFIG", str(config))
    command = [str(tool), "-i", str(inventory.absolute()), "--list"]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ThorError(
            "ansible_missing", f"{tool}: {error.strerror}.", "Set the environment up again: `make bootstrap`."
        ) from error
    if run.returncode:
        raise ThorError(
            "inventory_invalid",
            f"{inventory} cannot be read: {' '.join(run.stderr.split())}",
            f"Correct it; `ansible-inventory -i {inventory} --list` shows the same.",
        )
    listing: dict[str, Any] = json.loads(run.stdout)
    return listing


def members(listing: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group -> its hosts in the inventory's order, those of child groups included."""

    def hosts(group: str) -> list[str]:
        entry = listing.get(group, {})
        found = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            found += hosts(child)
        return list(dict.fromkeys(found))

    children = {
        child for key, entry in listing.items() if key != "_meta" for child in entry.get("children", [])
    }
    return {group: hosts(group) for group in ({*listing} | children) - {"_meta"}}


def device(name: str, raw: Mapping[str, Any], groups: Mapping[str, list[str]], inventory: Path) -> Device:
    """One device from its variables; templates such as ``{{ inventory_dir }}`` are filled in."""
    folder = inventory if inventory.is_dir() else inventory.parent
    variables = Variables(name, raw, folder.absolute())
    extra = [variables.text("ansible_ssh_common_args"), variables.text("ansible_ssh_extra_args")]
    return Device(
        name=name,
        host=variables.text("ansible_host") or name,
        port=variables.number("ansible_port", 22),
        user=variables.text("ansible_user"),
        key=variables.path("ansible_ssh_private_key_file"),
        known_hosts=variables.path("thor_known_hosts_file"),
        ssh_args=" ".join(part for part in extra if part),
        site=variables.text("thor_site"),
        device_class=variables.text("thor_device_class"),
        profile=variables.text("thor_profile"),
        groups=tuple(sorted(group for group, hosts in groups.items() if name in hosts and group != "all")),
        edge_names=variables.words("thor_edge_names"),
        preflight_skip=variables.words("thor_preflight_skip"),
    )
