"""Fleets for the tests of rollouts: two devices with the real vLLM, and twelve with the light engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.e2e.site_world import make_anew, make_project
from tests.system.fleet import dozen as the_twelve
from tests.system.fleet.pair import DEVICES, Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.support.simulated import Simulated
    from tests.system.fleet.dozen import Dozen


@pytest.fixture(scope="package")
def pair(sim: Simulated, broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both devices serve the same release; bare again afterwards."""
    project = make_project(tmp_path_factory.mktemp("fleet"), broken_checkpoint)
    made = Pair(sim, project, tmp_path_factory.mktemp("state"))
    made.add_releases()
    run = made.provision()
    assert run.exit_code == 0, run.text
    yield made
    for device in DEVICES:
        make_anew(sim, device)


@pytest.fixture(scope="package")
def dozen(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dozen]:
    """Twelve devices on three sites, a simulation of their own, provisioned by site.yml."""
    name, count = f"dozen-{os.getpid()}", len(the_twelve.DEVICES)
    with running(docker_client, name, devices=count, sites=the_twelve.SITES) as simulated:
        image = light_image.ensure(docker_client, "amd64")
        light_image.push(docker_client, simulated.simulation, image)
        project = light_project.make(
            tmp_path_factory.mktemp("dozen"), simulated.simulation, releases=the_twelve.RELEASES
        )
        yield the_twelve.provisioned(simulated, project, tmp_path_factory.mktemp("dozen-state"))
