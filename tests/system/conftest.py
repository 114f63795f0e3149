"""Simulations that several folders share: two devices with the light engine, one with the real vLLM."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import running
from tests.system.e2e.site_world import DEVICE, World, make_anew, make_project
from tests.system.faults.container_ground import lay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.support.simulated import Simulated
    from tests.system.faults.container_ground import Ground


@pytest.fixture(autouse=True)
def alone() -> None:
    """Leave the environment as the session's fixtures set it."""


@pytest.fixture(scope="session")
def ground(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Two devices with the light engine, provisioned once; who uses one leaves it as it was found."""
    with running(docker_client, f"ground-{os.getpid()}", devices=2) as sim:
        yield lay(sim, tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="session")
def project(broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles of the real vLLM and their locks, for whichever device is given them."""
    return make_project(tmp_path_factory.mktemp("project"), broken_checkpoint)


@pytest.fixture(scope="session")
def world(sim: Simulated, project: Path) -> World:
    """A bare device, which the tests of site.yml provision and those of rollouts find so."""
    if sim.ssh(DEVICE, "test -e /etc/thor").returncode == 0:
        make_anew(sim, DEVICE)
    return World(sim, DEVICE, project)
