"""This code takes over from the last commit without a common contract: devices, a trial, a rollout's log.

The tests build on each other, in this order: each finds the devices as the one before left them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.e2e.earlier_code import BEFORE_CONTRACT, EarlierCode
from tests.system.e2e.upgrade_world import POLICY, WAIT_SECONDS, UpgradeWorld
from tests.system.faults.container_device import DeviceAtHand
from tests.system.faults.container_ground import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.support.simulated import Simulated

pytestmark = [pytest.mark.sim, pytest.mark.long]
CANARY, OTHER, ALONE = DEVICES = ("thor-01", "thor-02", "thor-03")  # the last one is in no rollout at first
BEFORE, NEXT = "light", "next"  # profiles: committed by site.yml, and rolled out or tried next
TRIAL_SECONDS = 420


@dataclass(frozen=True, kw_only=True)
class TakeoverWorld(UpgradeWorld):
    """Devices, a project and a store of the earlier code; this code has the same store."""

    earlier: EarlierCode
    earlier_project: Path

    def earlier_thorctl(self, *words: str) -> subprocess.Popen[str]:
        """``thorctl WORDS`` of the earlier code, at work, with this operator's store."""
        return subprocess.Popen(
            self.earlier.command(self.earlier_project, "-i", str(self.inventory), *words),
            cwd=self.earlier.tree,
            env=self.earlier.environment(THORCTL_STATE_DIR=str(self.state)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def earlier_release(self, profile: str) -> tuple[str, str]:
        """Id and document of the release that the earlier code makes of a profile."""
        deploy = str(self.earlier_project / "deploy")
        release, text = self.earlier.python(
            "import json; from pathlib import Path; from thorctl import releases;"
            f"made = releases.build(Path({deploy!r}), {profile!r}, 'simulated-container');"
            "print(json.dumps([made.id, made.text()]))"
        )
        return release, text

    def agent_file(self, device: str) -> str:
        """Hash of the installed agent."""
        return self.sim.run(device, "sudo sha256sum $(readlink -f /opt/thor/agent.pyz)")

    def timer(self, device: str) -> str:
        """When the timer of the device's trial fires, seconds since boot."""
        shown = "systemctl show --property NextElapseUSecMonotonic --value 'thor-trial-*.timer'"
        return self.sim.run(device, shown)


@pytest.fixture(scope="module")
def world(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TakeoverWorld]:
    """The devices serve what the earlier code committed on them."""
    earlier = EarlierCode.unpacked(tmp_path_factory.mktemp("earlier"), BEFORE_CONTRACT)
    with running(docker_client, f"takeover-{os.getpid()}", devices=len(DEVICES)) as simulated:
        yield provisioned(docker_client, simulated, earlier, tmp_path_factory.mktemp("takeover"))


def provisioned(
    client: DockerClient, simulated: Simulated, earlier: EarlierCode, folder: Path
) -> TakeoverWorld:
    """Two projects with the same profiles: the earlier code's, and this one's, where ``light`` is wanted."""
    simulation = simulated.simulation
    light_image.push(client, simulation, light_image.ensure(client, "amd64"))
    project = light_project.make(folder / "new", simulation, releases={})
    documents = {
        name: light_project.profile(name, {}, f"thorctl/{BEFORE}", "amd64") for name in (BEFORE, NEXT)
    }
    earlier_project = earlier.project(folder / "earlier", documents)
    for deploy in (project / "deploy", earlier_project / "deploy"):
        (deploy / "policies" / "quick.yml").write_text(POLICY)
    via = [word for pair in simulation.via.items() for word in ("--via", "=".join(pair))]
    for name in documents:
        earlier.thorctl(earlier_project, "--json", "lock", name, "--platform", "linux/amd64", *via)
    hosts = simulation.inventory.read_text(encoding="utf-8")
    (project / "hosts.yml").write_text(hosts.replace("thor_profile: tiny-qwable", f"thor_profile: {BEFORE}"))
    earlier.playbook("site", project / "hosts.yml", earlier_project, BEFORE)
    state = folder / "state"
    state.mkdir()
    return TakeoverWorld(
        sim=simulated, project=project, state=state, earlier=earlier, earlier_project=earlier_project
    )


@pytest.fixture(scope="module")
def before(world: TakeoverWorld) -> str:
    """The release that all have committed."""
    (release,) = {str(world.status(device)["release"]) for device in DEVICES}
    return release


@pytest.fixture(scope="module")
def tried(world: TakeoverWorld, before: str) -> dict[str, Any]:
    """Status of the last device, on trial by hand, before its agent is replaced."""
    release, text = world.earlier_release(NEXT)
    device = DeviceAtHand(world.sim, ALONE)
    put(device, "/root/next.json", text)
    device.sh("thor-agent stage --release /root/next.json")
    device.done("activate", release, "--deadline", str(TRIAL_SECONDS))
    return world.status(ALONE)


def test_agent_replaced_in_a_trial_keeps_its_deadline(world: TakeoverWorld, tried: dict[str, Any]) -> None:
    agent, timer, started = world.agent_file(ALONE), world.timer(ALONE), world.engine_started_at(ALONE)
    run = world.playbook("site", "--limit", ALONE, "--tags", "thor_host")
    assert run.exit_code == 0, run.text
    assert world.agent_file(ALONE) != agent
    status = world.status(ALONE)
    same = ("state", "release", "previous", "activated_by")
    assert {key: status[key] for key in same} == {key: tried[key] for key in same}
    assert (
        abs(seconds_at(status["deadline"]) - seconds_at(tried["deadline"])) <= 1
    )  # from the clock since boot
    assert (world.timer(ALONE), world.engine_started_at(ALONE)) == (timer, started)


def seconds_at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@pytest.fixture(scope="module")
def interrupted(world: TakeoverWorld, tried: dict[str, Any]) -> str:
    """Id of a rollout of the earlier code, killed while its canary is on trial."""
    words = ("rollout", "start", NEXT, CANARY, OTHER, "--policy", "quick", "--yes", "--soak", "30")
    with world.earlier_thorctl(*words) as process:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if f"{CANARY}: smoke test passed" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
    assert world.status(CANARY)["state"] == "trial", told
    return str(world.json("rollout", "status")["data"]["id"])


def test_status_shows_devices_of_the_earlier_agent(
    world: TakeoverWorld, interrupted: str, before: str
) -> None:
    rows = {row["name"]: row for row in world.json("status")["data"]["devices"]}
    assert [rows[name]["state"] for name in DEVICES] == ["trial", "committed", "trial"]
    assert rows[OTHER]["release"] == before
    standing = world.json("rollout", "status")["data"]
    assert (standing["status"], standing["next"]) == ("interrupted", f"thorctl rollout resume {interrupted}")
    assert interrupted in world.thorctl("history").stdout
    assert CANARY in world.thorctl("history", "show", interrupted).stdout


def test_another_rollout_is_refused_with_the_way_out(world: TakeoverWorld, interrupted: str) -> None:
    envelope = world.json("rollout", "start", BEFORE, CANARY, "--policy", "quick", "--yes")
    (error,) = envelope["errors"]
    assert f"rollout resume {interrupted}" in error["remedy"]


def test_rollout_of_the_earlier_code_is_resumed_to_its_end(world: TakeoverWorld, interrupted: str) -> None:
    activated = [world.activations(device) for device in (CANARY, OTHER)]
    envelope = world.json("rollout", "resume", "--yes")
    assert envelope["data"]["status"] == "finished", envelope
    release, _ = world.earlier_release(NEXT)
    for device in (CANARY, OTHER):
        assert world.wait_for("committed", release, device)["lease"] is None
    assert [world.activations(device) for device in (CANARY, OTHER)] == [activated[0], activated[1] + 1]


def test_trial_ended_at_the_deadline_of_the_earlier_agent(
    world: TakeoverWorld, tried: dict[str, Any], before: str
) -> None:
    left = max(0.0, seconds_at(tried["deadline"]) - time.time())
    world.wait_for("committed", before, ALONE, seconds=left + WAIT_SECONDS)
    journal = DeviceAtHand(world.sim, ALONE).journal()
    assert (journal["reason"], journal["left"]) == ("deadline", tried["release"])


def test_rollout_takes_all_over(world: TakeoverWorld) -> None:
    done = world.thorctl("rollout", "start", BEFORE, "--policy", "quick", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    (release,) = {str(world.status(device)["release"]) for device in DEVICES}
    for device in DEVICES:
        drift = world.wait_for("committed", release, device)["drift"]
        assert [one for one in drift if one["scope"] == "release"] == []
    shown = world.thorctl("status")
    assert shown.returncode == 0, shown.stdout
    assert "3 of 3 devices serve the desired release" in shown.stdout
