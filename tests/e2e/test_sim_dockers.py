"""Provisioning, rollback and gc on every release of Docker and both of its image stores."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.doubles import light_image, light_project
from tests.e2e.site_world import World
from tests.faults.container_device import DeviceAtHand
from tests.faults.container_ground import SECOND_TAG, push_second, put
from tests.simulated import running
from thorctl import releases
from thorctl.sim.up import ContainerOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from thorctl.release import Release

pytestmark = [pytest.mark.sim, pytest.mark.long]

DEVICE = "thor-01"
# Docker of a device, its image store, the driver that `docker info` names then.
DOCKERS = [
    ("20.10", "classic", "overlay2"),
    ("26.1", "containerd", "overlayfs"),
    ("28.5", "classic", "overlay2"),
    ("28.5", "containerd", "overlayfs"),
]
_NEW = {"checkpoint": "light-new", "image_tag": SECOND_TAG}
RELEASES: dict[str, dict[str, str]] = {"old": {}, "new": _NEW, "third": {**_NEW, "ENGINE_THIRD": "1"}}


@dataclass(frozen=True)
class Case:
    """A device with that Docker, and the releases it is given."""

    world: World
    device: DeviceAtHand
    releases: dict[str, Release]

    def stands(self) -> tuple[str, str]:
        """State and release by its agent, which finds the release's engine ready."""
        status = self.world.status()
        assert status["engine"]["ready"], status
        names = {release.id: name for name, release in self.releases.items()}
        return status["state"], names[status["release"]]

    def agent(self, *words: str) -> dict[str, Any]:
        """Data of a verb that succeeds."""
        answer = self.world.agent(" ".join(words))
        assert answer["error"] is None, answer
        data: dict[str, Any] = answer["data"]
        return data

    def stage(self, name: str) -> dict[str, Any]:
        """Data of ``stage`` for one of the releases."""
        put(self.device, f"/root/{name}.json", self.releases[name].text())
        return self.agent("stage", "--release", f"/root/{name}.json")

    def has_image(self, name: str) -> bool:
        """Whether Docker has the image of a release by its digest."""
        return self.device.tries(f"docker image inspect {self.image(name)}")[0] == 0

    def image(self, name: str) -> str:
        """The image of a release by its digest."""
        locked = self.releases[name].lock.image
        return f"{locked.repository}@{locked.digest}"


@pytest.fixture(params=DOCKERS, ids=lambda case: f"{case[0]}-{case[1]}")
def case(
    docker_client: DockerClient, sim_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Case]:
    docker, image_store, driver = request.param
    options = ContainerOptions(docker=docker, image_store=image_store)
    name = f"test-{os.getpid()}-{docker.replace('.', '-')}-{image_store}"
    with running(docker_client, name, devices=1, options=options) as sim:
        light_image.push(sim.client, sim.simulation, light_image.ensure(sim.client, "amd64"))
        push_second(sim.client, sim.simulation)
        light_project.make(tmp_path, sim.simulation, releases=RELEASES)
        built = {name: releases.build(tmp_path / "deploy", name) for name in RELEASES}
        version = sim.run(DEVICE, "sudo docker info --format '{{.ServerVersion}} {{.Driver}}'")
        assert version.startswith(f"{docker}.")
        assert version.endswith(f" {driver}")
        yield Case(World(sim, DEVICE, tmp_path), DeviceAtHand(sim, DEVICE), built)


def test_a_device_is_provisioned_goes_back_and_cleans_up(case: Case) -> None:
    provisioned = case.world.playbook("site", profile="old")
    assert provisioned.exit_code == 0, provisioned.text
    assert case.stands() == ("committed", "old")
    again = case.world.playbook("site", profile="old")
    assert again.total("changed") == 0, again.text

    case.stage("new")
    case.agent("activate", case.releases["new"].id)
    assert case.stands() == ("trial", "new")
    case.agent("rollback")
    assert case.stands() == ("committed", "old")

    # Staged once more, all of it is there; after a pull that a power cut ended, the image is brought anew.
    assert case.stage("new")["image"]["downloaded_bytes"] == 0
    doubt = json.dumps({case.image("new"): "another boot"})
    case.device.sh(f"echo {shlex.quote(doubt)} > /var/lib/thor/pulling.json")
    assert case.stage("new")["image"]["downloaded_bytes"] > 0
    assert case.has_image("new")

    for name in ("new", "third"):
        case.stage(name)
        case.agent("activate", case.releases[name].id)
        case.agent("smoke")
        case.agent("commit")
    assert case.stands() == ("committed", "third")
    case.device.sh("docker image prune --force")  # an operator's; deletes what has no tag
    removed = case.agent("gc", "--keep", "0")["removed"]
    assert case.image("old") in {one["name"] for one in removed}
    assert not case.has_image("old")
    assert case.has_image("new")
    tags = case.device.read("docker image ls --format '{{.Repository}}:{{.Tag}}'").splitlines()
    assert len(tags) == len(set(tags)) == 1, tags
    assert case.agent("gc", "--keep", "0")["removed"] == []
