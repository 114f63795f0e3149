"""Holds in a rollout over real devices: one is overridden by name, in its own words; one is waited for."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.playbooks.playbook_run import playbook
from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.fleet.fleet import POLICY
from tests.system.fleet.fleet_world import FleetWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

pytestmark = [pytest.mark.sim, pytest.mark.long]

BETTER, LATE = "light-better", "light-late"
# Whatever a device may say is handed back to it as it is: quotes, and what Ansible would take for a template.
REASON = "it's on patrol, {{ 7 * 7 }} m high"
PATIENCE_SECONDS = 600


@pytest.fixture(scope="module")
def two(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetWorld]:
    """Two devices of a simulation of their own, both serving the light engine's first release."""
    with running(docker_client, f"holds-{os.getpid()}", devices=2) as simulated:
        light_image.push(docker_client, simulated.simulation, light_image.ensure(docker_client, "amd64"))
        releases: dict[str, dict[str, str]] = {BETTER: {"checkpoint": "better"}, LATE: {}}
        project = light_project.make(
            tmp_path_factory.mktemp("holds"), simulated.simulation, releases=releases
        )
        (project / "deploy" / "policies" / "quick.yml").write_text(POLICY)
        made = FleetWorld(simulated, project, tmp_path_factory.mktemp("holds-state"))
        run = playbook(
            *("-i", str(made.inventory), "site.yml", "-e", f"thor_deploy={project / 'deploy'}"),
            *("-e", f"thor_profile={light_project.PROFILE}"),
        )
        assert run.exit_code == 0, run.text
        yield made


def hold(fleet: FleetWorld, device: str, *words: str) -> None:
    fleet.sim.run(device, f"sudo thor-agent hold {shlex.join(words)}")


def told(fleet: FleetWorld, device: str) -> list[dict[str, Any]]:
    """The activations in the device's own record."""
    text = fleet.sim.run(device, "sudo cat /var/lib/thor/events.jsonl")
    events = [json.loads(line) for line in text.splitlines()]
    return [one for one in events if one["verb"] == "activate" and one["what"] == "begin"]


def test_a_hold_is_passed_over_by_name(two: FleetWorld) -> None:
    hold(two, "thor-02", "set", REASON)
    free = two.json("rollout", "start", BETTER, "--policy", "quick", "--yes", "--over-hold", "thor-01")
    assert [(one["code"], one["device"]) for one in free["errors"]] == [("not_held", "thor-01")]

    envelope = two.json("rollout", "start", BETTER, "--policy", "quick", "--yes", "--over-hold", "thor-02")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (0, "finished"), envelope
    for device in ("thor-01", "thor-02"):
        status = two.status(device)
        assert (status["state"], status["release"].startswith(BETTER), status["lease"]) == (
            "committed",
            True,
            None,
        )
    assert two.status("thor-02")["hold"]["reason"] == REASON  # passed over, not taken away
    assert told(two, "thor-02")[-1]["arguments"]["over_hold"] == REASON
    assert not told(two, "thor-01")[-1]["arguments"].get("over_hold")

    steps = two.json("history", "show", envelope["data"]["id"], "thor-02")["data"]["steps"]
    (passed,) = [one for one in steps if one["event"] == "over_hold"]
    assert passed["message"] == f"its hold is overridden by {passed['who']}: {REASON}"
    assert [one["verb"] for one in steps if one["event"] == "step_begun" and one["verb"] != "look"] == [
        *("preflight", "stage", "take", "activate", "smoke", "commit", "give")
    ]


def test_a_hold_is_waited_for(two: FleetWorld) -> None:
    words = ("rollout", "start", LATE, "--policy", "quick", "--yes", "--wait-hold", str(PATIENCE_SECONDS))
    with two.at_work(*words) as process:
        until = time.monotonic() + PATIENCE_SECONDS
        while phase(two, "thor-02") != "on hold":
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(2)
        status = two.status("thor-02")
        assert (status["release"].startswith(BETTER), status["hold"]["reason"]) == (True, REASON)
        hold(two, "thor-02", "clear")
        assert process.wait(PATIENCE_SECONDS) == 0
    assert two.status("thor-02")["release"].startswith(LATE)
    assert not told(two, "thor-02")[-1]["arguments"].get("over_hold")


def phase(two: FleetWorld, device: str) -> str | None:
    data = two.json("rollout", "status")["data"]
    if data["label"] != LATE:
        return None
    return str(next(one["phase"] for one in data["devices"] if one["name"] == device))
