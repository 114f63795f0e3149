"""Takes a simulation down and leaves nothing of it behind."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from thorctl.inventory import simulations
from thorctl.sim import objects, virtual_devices
from thorctl.sim.refusals import explained
from thorctl.sim.report import timed

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.images import Report


def everything(client: DockerClient) -> list[str]:
    """Names of all simulations of which anything is left, in the engine or on disk."""
    return sorted(objects.names(client) | set(simulations.names()))


def down(client: DockerClient, name: str, report: Report) -> int:
    """Removes a simulation's devices, volumes, network and folder; how many objects there were.

    Needs no readable state: also what a broken ``up`` has left is found, by label.
    """
    with timed(report, "remove", name), explained(name):
        removed = virtual_devices.remove(name) + objects.remove(client, name)
        if (folder := simulations.folder(name)).exists():
            shutil.rmtree(folder)
    for parent in (simulations.home(), simulations.home().parent):
        if parent.name in {"sim", ".thorctl"} and parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    return removed


def remove_images(client: DockerClient, report: Report) -> int:
    """Removes the images built for simulations and the registry's content; how many objects."""
    with timed(report, "remove", "images"):
        return objects.remove_cache(client) + virtual_devices.remove_images()
