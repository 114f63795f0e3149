"""The devices of a call: its inventory, narrowed by the patterns on the command line."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import platformdirs

from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.inventory import simulations
from thorctl.protocol.identity import goes_by, rename_remedy
from thorctl.protocol.plural import counted
from thorctl.protocol.status import Status
from thorctl.remote.agent_call import run_verb
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.cli.context import Context
    from thorctl.inventory.devices import Device
    from thorctl.remote.answer import Answer


def inventory_path(context: Context) -> Path:
    """Return the inventory of this call.

    Raises:
        ThorError: ``inventory_missing``.
    """
    simulation = simulations.inventory(simulations.chosen_name())
    return fleet.find_inventory(context.inventory, context.project, simulation)


def state_folder(context: Context) -> Path:
    """Return the folder of the store: the user's, or a simulation's own, which is deleted with it.

    A call whose inventory cannot be found uses the user's.
    """
    with contextlib.suppress(ThorError):
        inventory = inventory_path(context).resolve()
        for folder in inventory.parents:
            if folder.parent == simulations.home().resolve():
                return folder / "state"
    return platformdirs.user_state_path("thorctl")


def chosen_devices(context: Context, patterns: Sequence[str]) -> list[Device]:
    """Return the devices that ``patterns`` select, as in Ansible's ``--limit``; all without any.

    Raises:
        ThorError: as ``fleet.find_inventory`` and ``fleet.load``.
    """
    limit = ",".join(patterns) or None
    return fleet.load(inventory_path(context), limit, context.ansible_config)


def one_device(context: Context, name: str) -> Device:
    """Return the one device ``name``.

    Raises:
        ThorError: ``one_device_wanted``, or as ``chosen_devices``.
    """
    found = chosen_devices(context, (name,))
    if len(found) != 1:
        names = ", ".join(device.name for device in found)
        raise ThorError(
            "one_device_wanted",
            f"{name!r} names {counted(len(found), 'device')}, not one: {names or '(none)'}.",
            "Name one of them.",
        )
    return found[0]


def recognised(answers: Sequence[Answer]) -> list[Answer]:
    """Return answers to ``status``, with an error for a device that reports another name."""
    return [_recognised(answer) for answer in answers]


def _recognised(answer: Answer) -> Answer:
    status = answer.get(Status) if answer.ok else None
    other = goes_by(answer.device, status.identity) if status else None
    if other is None:
        return answer
    message = f"The device that answers is {other}: its address or its disk is another device's."
    remedy = f"{rename_remedy(answer.device)}"
    return replace(answer, error=Problem("another_device", message, remedy, answer.device))


def run_where_recognised(
    fleet: Sequence[Device], verb: str, words: Sequence[str] = (), *, holder: str | None = None
) -> list[Answer]:
    """Run a verb as `run_verb`, except on devices that report another name, which get an error.

    One whose status cannot be read is called: its own answer has the error.
    """
    looked = recognised(run_verb(fleet, "status"))
    others = {one.device: one for one in looked if one.error and one.error.code == "another_device"}
    mine = [device for device in fleet if device.name not in others]
    done = {one.device: one for one in run_verb(mine, verb, words, holder=holder)}
    return [others.get(device.name) or done[device.name] for device in fleet]
