"""The main five faults with the real vLLM: one device, whose every row ends where it began."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook
from tests.system.e2e.site_world import BROKEN, PROFILE, THORCTL, make_project
from tests.system.faults.container_device import DeviceAtHand
from tests.system.faults.container_ground import put
from tests.system.faults.container_states import START
from tests.system.faults.row import Seen, record_of
from tests.system.fleet.fleet_world import FleetWorld
from thorctl.release import find as releases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.simulated import Simulated

DEVICE = "thor-01"
OTHER = "tiny-qwable-other"
_PROFILE_OTHER = f"""---
schema: 1
extends: {PROFILE}
name: {OTHER}
description: The same model with another environment.
environment: {{THORCTL_FAULTS: other}}
"""
# One device is a canary and nobody else: the wave after it stays empty.
_POLICY = """---
schema: 1
name: one
description: For the fault table.
canary: {count: 1}
waves: [{rest: true}]
soak_seconds: 600
errors: {stop_at_devices: 1}
speed: {tolerance_percent: 97}
work: null
"""


@dataclass
class VllmWorld:
    """``old`` is committed and serves; ``new`` and ``broken``, which babbles, are staged."""

    sim: Simulated
    project: Path
    stores: Path
    ids: dict[str, str]
    answer: str = "done"
    told: int = 0

    @property
    def device(self) -> DeviceAtHand:
        """The one device."""
        return DeviceAtHand(self.sim, DEVICE)

    def reach(self, state: str) -> None:
        assert self.device.journal()["state"] == "committed"
        assert self._running() == "old"
        self.told = len(self.device.events())
        if state == "trial":
            self.device.done("activate", self.ids["new"], "--deadline", "1800")
            self.told = len(self.device.events())

    def befall(self, fault: str) -> None:
        FAULTS[fault](self)

    def seen(self) -> Seen:
        """The disk's word, the record; and what serves answers its smoke prompts rightly."""
        record = record_of(self.device.events()[self.told :])
        state = self.device.journal()["state"]
        self.device.done("smoke")
        return Seen(self.answer, state, self._running(), record)

    def _running(self) -> str:
        """The release whose files the engine's container has."""
        mounts = json.loads(self.device.read("docker inspect --format '{{json .Mounts}}' thor-engine"))
        (files,) = [one["Source"] for one in mounts if one["Destination"] == "/etc/thor-engine"]
        return {identity: name for name, identity in self.ids.items()}[files.rpartition("/")[2]]


def lay(sim: Simulated, broken_checkpoint: str, folder: Path) -> VllmWorld:
    """The device by site.yml; the other releases staged."""
    project = make_project(folder / "project", broken_checkpoint)
    deploy = project / "deploy"
    (deploy / "policies").mkdir()
    (deploy / "policies" / "one.yml").write_text(_POLICY)
    (deploy / "profiles" / f"{OTHER}.yml").write_text(_PROFILE_OTHER)
    for profile in (deploy / "profiles").glob(f"{PROFILE}*.yml"):  # a loaded machine takes its time
        profile.write_text(profile.read_text().replace("start_seconds: 300", "start_seconds: 1800"))
    words = [str(THORCTL), "--project", str(project), "--json", "lock", OTHER]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = playbook(
        *("-i", str(sim.simulation.inventory), "--limit", DEVICE, "site.yml"),
        *("-e", f"thor_deploy={deploy}", "-e", f"thor_profile={PROFILE}"),
    )
    assert run.exit_code == 0, run.text
    made = {
        name: releases.build(deploy, of)
        for name, of in (("old", PROFILE), ("new", OTHER), ("broken", BROKEN))
    }
    world = VllmWorld(sim, project, folder, {name: release.id for name, release in made.items()})
    for name in ("new", "broken"):
        put(world.device, f"/root/{name}.json", made[name].text())
        world.device.sh(f"thor-agent stage --release /root/{name}.json")
    return world


def _babbles(world: VllmWorld) -> None:
    world.device.done("activate", world.ids["broken"])
    world.answer = world.device.say("smoke").answer()
    assert world.device.say("commit").answer() == "smoke_missing"
    world.device.fire_timers()


def _agent_killed(world: VllmWorld) -> None:
    world.device.stop_at(START)
    saying = world.device.say("activate", world.ids["new"])
    world.device.reached()
    world.device.kill_agent()
    world.answer = saying.answer()
    world.device.fire_timers()


def _dockerd_killed(world: VllmWorld) -> None:
    world.device.kill_dockerd()
    world.device.wait("Docker is back", lambda: world.device.tries("docker version")[0] == 0)
    world.device.fire_timers()


def _reboot(world: VllmWorld) -> None:
    world.device.reboot()


def _controller_killed(world: VllmWorld) -> None:
    """In the soak of a rollout; nobody resumes it."""
    fleet = FleetWorld(world.sim, world.project, world.stores / "ann", operator="ann")
    words = ("rollout", "start", OTHER, DEVICE, "--policy", "one", "--yes")
    with fleet.at_work(*words) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        for said in (f"{DEVICE}: on trial", f"{DEVICE}: smoke test passed"):
            assert any(said in line for line in lines), "it ended before its soak"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    world.answer = str(fleet.json("rollout", "status")["data"]["status"])
    world.device.wait("no verb is at work", world.device.idle)
    world.told += [event["verb"] for event in world.device.events()[world.told :]].index("activate")
    world.device.fire_timers()
    world.device.done("lease", "give", "--force")  # it outlives its holder, until its own end


FAULTS: dict[str, Callable[[VllmWorld], None]] = {
    "the model babbles": _babbles,
    "the agent is killed": _agent_killed,
    "dockerd is killed, and nobody comes back": _dockerd_killed,
    "reboot": _reboot,
    "the controller is killed, and nobody comes back": _controller_killed,
}
