"""From a bare virtual Thor to one that serves a committed light release and can be saved: done once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook
from tests.support.doubles import light_image, light_project
from tests.system.vm import second_image
from tests.system.vm.cut_phases import PLACE, POLICY
from tests.system.vm.cut_verdict import NEW, NEXT, OLD, Shipped
from tests.system.vm.cut_world import PROBE, CutWorld
from tests.system.vm.saved_machine import SavedMachine
from thorctl.inventory.simulations import REGISTRY
from thorctl.release import find as releases
from thorctl.sim import layout, registry
from thorctl.sim.virtual_command import Hardware
from thorctl.sim.virtual_machine import VirtualThor

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from tests.support.simulated import Simulated

DEVICE = "thor-vm-01"
ARCHITECTURE: light_image.Architecture = "arm64"
CLASS = "simulated-vm"
PATIENCE_SECONDS = 900  # for an emulated engine to get ready; a container's is ready in seconds
MEMORY_BYTES = 2 << 30
DOCKER_SETTINGS = "/etc/docker/daemon.json"
LAB = f"""---
schema: 1
name: {POLICY}
description: The one device, at once; the speed of an emulated machine is its host's mood.
canary: {{count: 1}}
waves: [{{rest: true}}]
soak_seconds: 5
errors: {{stop_at_devices: 1}}
speed: null
"""
# What a boot of these tests need not do again each time.
IDLE_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "serial-getty@ttyAMA0.service",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "unattended-upgrades.service",
)


def make_project(folder: Path, client: DockerClient, simulated: Simulated) -> Path:
    """Three releases: ``new`` has an image and a checkpoint of its own, ``next`` those of ``old``."""
    first = light_image.ensure(client, ARCHITECTURE)
    second = first.replace("light-engine:", "light-engine:second-")
    second_image.derive(client, first, second)
    simulation = simulated.simulation
    light_image.push(client, simulation, first)
    tag = push_second(client, simulated, second)
    weights = {light_project.CHECKPOINT: "light-new", light_project.MEGABYTES: "6"}
    given: dict[str, dict[str, str]] = {OLD: {}, NEW: weights, NEXT: {}}
    light_project.make(folder, simulation, architecture=ARCHITECTURE, releases=given)
    for name in given:
        file = folder / "deploy" / "profiles" / f"{name}.yml"
        document = json.loads(file.read_text().removeprefix("---\n"))
        document["ready"] = {"first_start_seconds": PATIENCE_SECONDS, "start_seconds": PATIENCE_SECONDS}
        if name == NEW:
            document["image"]["reference"] = tag
        file.write_text(f"---\n{json.dumps(document, indent=1)}\n")
    light_project.lock(folder, simulation, NEW, ARCHITECTURE)
    (folder / "deploy" / "policies" / f"{POLICY}.yml").write_text(LAB)
    return folder


def push_second(client: DockerClient, simulated: Simulated, name: str) -> str:
    """Puts the second image into the simulation's registry; the reference by which devices know it."""
    simulation = simulated.simulation
    image = client.images.get(name)
    assert image.id is not None
    assert simulation.push_port is not None
    tag = f"{ARCHITECTURE}-second"
    registry.push(
        client,
        image.id,
        light_image.REPOSITORY,
        tag,
        port=simulation.push_port,
        on_progress=lambda _: None,
    )
    return f"{REGISTRY}/{light_image.REPOSITORY}:{tag}"


def provision(simulated: Simulated, project: Path, store: Path, monitor: Path) -> CutWorld:
    """The device, by site.yml, on its first release; its moments are saved in ``store`` from here on."""
    simulation = simulated.simulation
    given = (f"thor_deploy={project / 'deploy'}", f"thor_profile={OLD}")
    words = [word for one in given for word in ("-e", one)]
    done = playbook("-i", str(simulation.inventory), "site.yml", "--skip-tags", "thor_edge", *words)
    assert done.exit_code == 0, done.text
    device = simulation.device(DEVICE)
    # One processor: emulating a second costs more than it brings, and each boot is a whole one.
    hardware = Hardware(device.name, device.port, cpus=1, memory_bytes=MEMORY_BYTES, monitor=monitor)
    machine = VirtualThor(layout.virtual_folder(simulation.name, device.name), hardware)
    shipped = {name: releases.build(project / "deploy", name, CLASS) for name in (OLD, NEW, NEXT)}
    known = {name: Shipped.of(one) for name, one in shipped.items()}
    world = CutWorld(SavedMachine(machine, store), project, simulation.inventory, known, {})
    world.bring(PROBE.name, PROBE.read_bytes())
    for name, release in shipped.items():
        world.bring(f"{name}.json", release.text().encode())
    lighten(world)
    machine.shutdown()  # it has no monitor yet
    machine.power_on()
    machine.wait_booted()
    world.look()  # and the engine serves
    world.saved.save("fresh")
    return world


def lighten(world: CutWorld) -> None:
    """Takes from the machine's boots what power cuts are not about; boots are most of the tests' time."""
    world.order(f"sudo systemctl mask --now --quiet {' '.join(IDLE_UNITS)}")
    # The engine is on the host's network; a bridge costs sixty calls of iptables at each boot.
    settings = json.loads(world.order(f"cat {DOCKER_SETTINGS}"))
    world.bring("daemon.json", json.dumps({**settings, "bridge": "none", "iptables": False}).encode())
    world.order(f"sudo cp {PLACE}/daemon.json {DOCKER_SETTINGS} && sync")
