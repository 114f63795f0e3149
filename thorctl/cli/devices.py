"""Which devices a verb means: the inventory of this call, narrowed by what stands on the line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import platformdirs

from thorctl import fleet
from thorctl.errors import ThorError
from thorctl.sim import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.cli.context import Context
    from thorctl.fleet import Device


def inventory_path(context: Context) -> Path:
    """The inventory of this call.

    Raises:
        ThorError: ``inventory_missing``.
    """
    simulation = layout.folder(layout.chosen_name(None)) / "inventory" / "hosts.yml"
    return fleet.find_inventory(context.inventory, context.project, simulation)


def state_folder(context: Context) -> Path:
    """The folder of the store: a simulation's own, so that it ends with it, else the user's.

    A call whose inventory cannot be found uses the user's.
    """
    with contextlib.suppress(ThorError):
        inventory = inventory_path(context).resolve()
        for folder in inventory.parents:
            if folder.parent == layout.home().resolve():
                return folder / "state"
    return platformdirs.user_state_path("thorctl")


def chosen_devices(context: Context, patterns: Sequence[str]) -> list[Device]:
    """The devices that ``patterns`` name, as Ansible's ``--limit`` reads them; all without any.

    Raises:
        ThorError: as ``fleet.find_inventory`` and ``fleet.load``.
    """
    limit = ",".join(patterns) or None
    return fleet.load(inventory_path(context), limit, context.project / "playbooks" / "ansible.cfg")


def one_device(context: Context, name: str) -> Device:
    """The one device that ``name`` names.

    Raises:
        ThorError: ``one_device_wanted``, or as ``chosen_devices``.
    """
    found = chosen_devices(context, (name,))
    if len(found) != 1:
        names = ", ".join(device.name for device in found)
        raise ThorError(
            "one_device_wanted",
            f"{name!r} means {len(found)} devices: {names}.",
            "Name one of them.",
            exit_code=2,
        )
    return found[0]
