"""A device that the release before provisioned gets this one: agent, layout, and back, also without power.

The tests build on each other, in this order: each finds the device as the one before left it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import running
from tests.system.e2e.earlier_code import LAYOUT_1, EarlierCode
from tests.system.e2e.upgrade_world import DEVICE, PROFILE, UpgradeWorld, provisioned
from thorctl import __version__
from thorctl.sim import devices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

pytestmark = pytest.mark.sim
AT_WORK = ("activating", "trial", "rolling-back")
TRIAL_SECONDS = 25
# The part that stays unknown until a release is staged: agents of layout 1 recorded no hashes.
UNVERIFIED = [("checkpoint", None)]


@pytest.fixture(scope="module")
def world(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UpgradeWorld]:
    """The device, as the earlier code left it."""
    earlier = EarlierCode.unpacked(tmp_path_factory.mktemp("earlier"), LAYOUT_1)
    with running(docker_client, f"upgrade-{os.getpid()}", devices=1) as simulated:
        yield provisioned(docker_client, simulated, earlier, tmp_path_factory.mktemp("upgrade"))


@pytest.fixture(scope="module")
def before(world: UpgradeWorld) -> str:
    """The id of the release of layout 1 that the device has committed."""
    status = world.status(DEVICE)
    assert (status["state"], status["agent_version"]) == ("committed", "0.1.0")
    assert "agent_layouts" not in status
    return str(status["release"])


def test_rollout_names_the_agent_that_comes_first_and_how(world: UpgradeWorld, before: str) -> None:
    planned = world.planned()
    assert (planned["before"], planned["agent"], planned["remarks"]) == (before, __version__, [])
    (error,) = world.json("rollout", "start", PROFILE, "--policy", "quick", "--yes")["errors"]
    assert error["code"] == "agent_too_old"
    assert f"ansible-playbook site.yml --limit {DEVICE}" in error["remedy"]
    status = world.status(DEVICE)
    assert (status["state"], status["release"], status["agent_version"]) == ("committed", before, "0.1.0")


def test_site_yml_brings_the_agent_leaves_layout_1_and_names_the_rollout(
    world: UpgradeWorld, before: str
) -> None:
    started = world.engine_started_at(DEVICE)
    run = world.playbook("site")
    assert run.exit_code == 0, run.text
    assert f"thorctl rollout start {PROFILE}" in run.text
    status = world.wait_for("committed", before)
    assert (status["agent_version"], status["release_layout"]) == (__version__, 1)
    assert [(one["what"], one["same"]) for one in status["drift"]] == UNVERIFIED
    assert 2 in status["agent_layouts"]
    assert world.engine_started_at(DEVICE) == started
    assert PROFILE in world.asked_on_port()
    shown = world.thorctl("status")
    assert f"layout 1; a rollout installs layout 2: thorctl rollout start {PROFILE}" in shown.stdout


def test_reboot_in_order_serves_layout_1_again(world: UpgradeWorld, before: str) -> None:
    devices.reboot(world.sim.client, world.sim.name, DEVICE)
    status = world.wait_for("committed", before)
    assert status["release_layout"] == 1
    assert [(one["what"], one["same"]) for one in status["drift"]] == UNVERIFIED
    assert PROFILE in world.asked_on_port()


@pytest.fixture(scope="module")
def staged(world: UpgradeWorld) -> str:
    """The id of the release of layout 2, staged."""
    done = world.thorctl("stage", DEVICE, "--release", PROFILE, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return str(world.planned()["release"])


def test_deadline_returns_to_layout_1_alone(world: UpgradeWorld, before: str, staged: str) -> None:
    assert world.agent(f"activate {staged} --deadline {TRIAL_SECONDS}")["ok"]
    status = world.status(DEVICE)
    assert (status["state"], status["release_layout"]) == ("trial", 2)
    assert status["engine"]["socket"] is not None
    assert PROFILE in world.asked_on_port()
    time.sleep(TRIAL_SECONDS)
    assert world.wait_for("committed", before)["release_layout"] == 1
    assert PROFILE in world.asked_on_port()


@pytest.mark.parametrize("state", AT_WORK)
def test_power_cut_on_the_way_ends_on_layout_1(
    world: UpgradeWorld, before: str, staged: str, state: str
) -> None:
    begin(world, f"activate {staged} --deadline 600")
    if state != "activating":
        world.wait_for("trial", staged)
    if state == "rolling-back":
        begin(world, f"rollback {staged}")
    world.wait_for(state, ready=False)
    world.cut()
    status = world.wait_for("committed", before)
    assert (status["release_layout"], status["drift"]) == (1, [])
    assert PROFILE in world.asked_on_port()


def test_rollout_commits_layout_2(world: UpgradeWorld, staged: str) -> None:
    done = world.thorctl("rollout", "start", PROFILE, "--policy", "quick", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    status = world.wait_for("committed", staged)
    assert (status["release_layout"], status["drift"]) == (2, [])
    assert PROFILE in world.asked_on_port()
    assert world.playbook("site").total("failed") == 0
    world.cut()
    assert world.wait_for("committed", staged)["release_layout"] == 2


def test_rollback_goes_from_layout_2_to_layout_1(world: UpgradeWorld, before: str, staged: str) -> None:
    assert world.agent(f"rollback {staged}")["data"]["release"] == before
    status = world.wait_for("committed", before)
    assert (status["release_layout"], status["drift"]) == (1, [])
    assert PROFILE in world.asked_on_port()
    world.cut()
    assert world.wait_for("committed", before)["release_layout"] == 1


def begin(world: UpgradeWorld, words: str) -> None:
    """A verb that goes on when the connection ends."""
    world.sim.run(DEVICE, f"sudo systemd-run --quiet --collect thor-agent --holder test {words}")
