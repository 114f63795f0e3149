"""Remove a simulation completely."""

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
    """Return the names of all simulations with remains in the engine or on disk."""
    return sorted(objects.names(client) | set(simulations.names()))


def down(client: DockerClient, name: str, report: Report) -> int:
    """Remove a simulation's devices, volumes, network and folder; return the number of objects.

    Needs no readable state: the remains of an incomplete ``up`` are found by label.
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
    """Remove the images built for simulations and the registry's content; return the number of objects."""
    with timed(report, "remove", "images"):
        return objects.remove_cache(client) + virtual_devices.remove_images()
