"""One virtual Thor, booted once and shared: bare, then provisioned, then rebooted."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.playbooks.playbook_run import PLAYBOOKS, playbook
from tests.support.documents import lock_for
from tests.support.simulated import Simulated, running
from tests.system.vm import cut_provision
from thorctl.release import profile
from thorctl.sim import virtual_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.vm.cut_world import CutWorld
    from thorctl.sim.virtual_machine import VirtualThor

DEVICE = "thor-vm-01"
# Seconds for a test with the building or booting that it asks for: minutes on idle cores, many on busy ones.
BOOT_TIMEOUT = 3600
PROFILE = "tiny-qwable"
# The parts of site.yml that need no engine of this machine's architecture.
HOST = "thor_time,thor_preflight,thor_host,thor_runtime"


@dataclass(frozen=True)
class VirtualWorld:
    """The machine, and the project whose profile it is given."""

    sim: Simulated
    deploy: Path

    @property
    def machine(self) -> VirtualThor:
        """The machine itself."""
        return virtual_devices.machine(self.sim.name, self.sim.simulation.device(DEVICE))

    def playbook(self, name: str, *options: str, **variables: Any) -> PlaybookRun:
        """Runs ``<name>.yml`` on the machine, its lines shown as they come."""
        given = {"thor_deploy": str(self.deploy), "thor_profile": PROFILE, **variables}
        words = [word for key, value in given.items() for word in ("-e", f"{key}={value}")]
        return playbook("-i", str(self.sim.simulation.inventory), f"{name}.yml", *words, *options)

    def converge(self) -> PlaybookRun:
        """The host's part of site.yml; NVIDIA's runtime too, though the class does not ask for it."""
        settings = '{"thor_runtime_nvidia": true, "thor_host_watchdog_seconds": 100}'
        return self.playbook("site", "--tags", HOST, "-e", settings)

    def run(self, command: str) -> str:
        """A command over SSH that has to succeed; its output."""
        return self.sim.run(DEVICE, command)


@pytest.fixture(scope="package")
def bare(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualWorld]:
    """The machine as it boots for the first time."""
    deploy = tmp_path_factory.mktemp("vm-project") / "deploy"
    shutil.copytree(PLAYBOOKS.parent / "deploy", deploy)
    (deploy / "locks").mkdir(exist_ok=True)
    lock = lock_for(profile.load(deploy, PROFILE), platform="linux/arm64")
    (deploy / "locks" / f"{PROFILE}.lock.json").write_text(lock.model_dump_json(by_alias=True))
    with running(docker_client, f"test-{os.getpid()}-vm", devices=0, virtual=1) as simulated:
        yield VirtualWorld(simulated, deploy)


@pytest.fixture(scope="package")
def first_preflight(bare: VirtualWorld) -> PlaybookRun:
    """preflight.yml on the bare machine."""
    return bare.playbook("preflight")


@pytest.fixture(scope="package")
def first_run(bare: VirtualWorld, first_preflight: PlaybookRun) -> PlaybookRun:
    """Roles on the bare machine."""
    return bare.converge()


@pytest.fixture(scope="package")
def cut_world(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CutWorld]:
    """Another machine, with a release and all that a rollout brings, saved before each phase of it."""
    project = tmp_path_factory.mktemp("cut-project")
    with (
        running(docker_client, f"test-{os.getpid()}-cut", devices=0, virtual=1) as simulated,
        # A socket's path is short: pytest's own folders may lie too deep.
        tempfile.TemporaryDirectory(prefix="thorctl-cut-") as store,
    ):
        cut_provision.make_project(project, docker_client, simulated)
        world = cut_provision.provision(simulated, project, Path(store), Path(store) / "monitor")
        world.rehearse()
        yield world


@dataclass(frozen=True)
class Rebooted:
    """What was true before the reboot, and the runs after it."""

    boot_before: str
    preflight: PlaybookRun
    second_run: PlaybookRun


@pytest.fixture(scope="package")
def rebooted(bare: VirtualWorld, first_run: PlaybookRun) -> Rebooted:
    """The machine rebooted in order, asked again, and given the roles again."""
    assert first_run.exit_code == 0, first_run.text
    before = bare.machine.boot_id()
    assert before is not None
    bare.machine.reboot()
    return Rebooted(before, bare.playbook("preflight"), bare.converge())
