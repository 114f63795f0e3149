"""Fleets for the tests of rollouts: few devices with either engine, and twelve with the light one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.e2e.site_world import DEVICE
from tests.system.fleet import dozen as the_twelve
from tests.system.fleet import fleet as fleets
from tests.system.fleet.fleet import LIGHT, ONE_VLLM, VLLM, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.system.fleet.dozen import Dozen


@pytest.fixture(scope="package", params=[LIGHT, VLLM, ONE_VLLM])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Devices that serve the same release."""
    state = tmp_path_factory.mktemp("state")
    if request.param == LIGHT:
        return fleets.light(request.getfixturevalue("ground"), state)
    sim, project = request.getfixturevalue("sim"), request.getfixturevalue("project")
    # The one of the tests of site.yml.
    devices = (DEVICE,) if request.param == ONE_VLLM else ("thor-01", "thor-02")
    return fleets.real(sim, project, state, devices)


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
