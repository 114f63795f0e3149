"""Provisioning, rollback and gc on every release of Docker and both of its image stores."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.e2e.site_world import World
from tests.system.faults.container_device import DeviceAtHand
from tests.system.faults.container_ground import SECOND_TAG, push_second, put
from thorctl.release import find as releases
from thorctl.remote.journalctl import in_order, log_command
from thorctl.sim.up import ContainerOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from thorctl.release.document import Release

pytestmark = [pytest.mark.sim, pytest.mark.long]

DEVICE = "thor-01"
# Docker of a device, its image store, the driver that `docker info` names then.
DOCKERS = [
    ("20.10", "classic", "overlay2"),
    ("26.1", "containerd", "overlayfs"),
    ("28.5", "classic", "overlay2"),
    ("28.5", "containerd", "overlayfs"),
]
IN_A_WHILE = "systemd-run --timer-property=AccuracySec=1s --on-active"
UNTIL_READY = 'timeout 120 sh -c \'until thor-agent status | grep -q "\\"ready\\": true"; do sleep 1; done\''
_DROP_IN = "/etc/systemd/system/thor-engine.service.d"
# Change, its end, and a word of the drift.
CHANGES = (
    (
        f"mkdir {_DROP_IN} && printf '[Service]\\nRestart=no\\n' > {_DROP_IN}/override.conf",
        f"rm -r {_DROP_IN}",
        f"changed by {_DROP_IN}/override.conf",
    ),
    ("systemctl disable thor-recover", "systemctl enable thor-recover", "disabled"),
    (
        "systemctl set-property --runtime thor-engine CPUWeight=50",
        "systemctl revert thor-engine",
        "changed by /run/systemd/system.control/",
    ),
)
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

    def drift(self) -> dict[str, Any]:
        """What the device tells of drift: name → what was found."""
        return {item["what"]: item["found"] for item in self.world.status()["drift"]}

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


def check_docker_is_waited_for(case: Case) -> None:
    """A Docker that an upgrade stops under staging, and one restarted under an activation."""
    case.device.sh("systemctl stop docker.socket docker.service")
    case.device.sh(f"{IN_A_WHILE}=15 systemctl start docker.service")
    case.stage("new")
    case.device.sh(f"{IN_A_WHILE}=4 systemctl restart docker.service")
    case.agent("activate", case.releases["new"].id)
    case.device.sh(f"sleep 5; {UNTIL_READY}")
    assert case.stands() == ("trial", "new")


def check_way_back_outlives_prunes(case: Case) -> None:
    """On trial with ``new``: whoever prunes, ``old`` stays; what a stronger hand deletes is brought back."""
    case.device.sh("docker system prune --all --force")
    assert case.has_image("old")
    assert case.world.status()["rollback"] == {"release": case.releases["old"].id, "lacking": []}
    case.agent("rollback")
    assert case.stands() == ("committed", "old")
    case.device.sh("docker container prune --force; docker image prune --all --force")
    assert case.has_image("old")
    assert case.has_image("new")
    case.agent("activate", case.releases["new"].id)
    case.device.sh("docker rm --force $(docker ps --quiet --filter name=thor-keep-)")
    case.device.sh("docker system prune --all --force")
    assert case.world.status()["rollback"]["lacking"] == [f"image {case.image('old')}"]
    case.agent("rollback")
    assert case.stands() == ("committed", "old")


def check_drift_of_what_is_used(case: Case) -> None:
    """A drop-in, a mask and a disabled unit, each told and gone again; the log's last lines since a time."""
    assert case.drift() == {}
    for change, undo, told in CHANGES:
        case.device.sh(f"{change} && systemctl daemon-reload")
        assert told in str(case.drift()), (change, case.drift())
        case.device.sh(f"{undo} && systemctl daemon-reload")
        assert case.drift() == {}
    case.device.sh("seq 100 | systemd-cat --identifier=thor-test; journalctl --sync")
    words = log_command("engine", lines=3, follow=False, since="-1h", as_json=False)
    words = tuple("--identifier=thor-test" if word.startswith("--unit") else word for word in words)
    said = case.device.read(f"{shlex.join(words)} --output=cat").split()
    assert in_order(said) == ["98", "99", "100"]


def test_a_device_is_provisioned_goes_back_and_cleans_up(case: Case) -> None:
    provisioned = case.world.playbook("site", profile="old")
    assert provisioned.exit_code == 0, provisioned.text
    assert case.stands() == ("committed", "old")
    again = case.world.playbook("site", profile="old")
    assert again.total("changed") == 0, again.text

    case.stage("new")
    check_docker_is_waited_for(case)
    check_way_back_outlives_prunes(case)
    check_drift_of_what_is_used(case)

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
