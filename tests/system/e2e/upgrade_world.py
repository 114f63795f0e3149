"""Devices that earlier code provisioned, and this thorctl's project with the same profile."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.playbooks.playbook_run import playbook
from tests.support.doubles import light_image, light_project
from tests.system.fleet.fleet_world import FleetWorld
from thorctl.sim import power, registry

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated
    from tests.system.e2e.earlier_code import EarlierCode

DEVICE = "thor-01"
PROFILE = "light"
TAG = "amd64-earlier"
WAIT_SECONDS = 240
POLICY = """---
schema: 1
name: quick
description: For tests.
canary: {count: 1}
waves: [{rest: true}]
soak_seconds: 1
errors: {stop_at_devices: 1}
speed: {tolerance_percent: 95}
"""


@dataclass(frozen=True)
class UpgradeWorld(FleetWorld):
    """Devices of a simulation, in the hands of the earlier code and of this one."""

    @property
    def inventory(self) -> Path:
        """The simulation's, with this profile: beside the project."""
        return self.project / "hosts.yml"

    def playbook(self, name: str, *options: str) -> PlaybookRun:
        """``<name>.yml`` of this checkout on the device."""
        return playbook(
            *("-i", str(self.inventory), f"{name}.yml", "-e", f"thor_deploy={self.project / 'deploy'}"),
            *("-e", f"thor_profile={PROFILE}", *options),
        )

    def planned(self) -> dict[str, Any]:
        """What a rollout of the profile would do with the device."""
        envelope = self.json("rollout", "plan", PROFILE, "--policy", "quick")
        assert envelope["exit_code"] == 0, envelope["errors"]
        (planned,) = envelope["data"]["plan"]["devices"]
        return dict(planned)

    def agent(self, words: str, device: str = DEVICE) -> dict[str, Any]:
        """The object that the installed agent prints; it may have failed."""
        answer: dict[str, Any] = json.loads(self.sim.ssh(device, f"sudo thor-agent {words}").stdout)
        return answer

    def wait_for(
        self,
        state: str,
        release: str | None = None,
        device: str = DEVICE,
        *,
        ready: bool = True,
        seconds: float = WAIT_SECONDS,
    ) -> dict[str, Any]:
        """The device's status once it is in ``state`` with ``release``, and its engine serves."""
        until = time.monotonic() + seconds
        while True:
            done = self.sim.ssh(device, "sudo thor-agent status")
            data = json.loads(done.stdout)["data"] if done.stdout else {}
            right = data.get("state") == state and release in (None, data.get("release"))
            if right and (not ready or data["engine"]["ready"]):
                return dict(data)
            assert time.monotonic() < until, f"{state} with {release} expected: {data or done.stderr}"
            time.sleep(1)

    def cut(self) -> None:
        """The power goes, and comes back."""
        place = self.sim.simulation.device(DEVICE)
        power.cut(self.sim.client, self.sim.name, place)
        power.power_on(self.sim.client, self.sim.name, place)

    def asked_on_port(self) -> str:
        """Names of the models that 127.0.0.1:8000 of the device offers."""
        url = "http://127.0.0.1:8000/v1/models"
        program = f"import urllib.request as r; print(r.urlopen('{url}', timeout=5).read().decode())"
        return self.sim.run(DEVICE, f'python3 -c "{program}"')


def provisioned(
    client: DockerClient, simulated: Simulated, earlier: EarlierCode, folder: Path
) -> UpgradeWorld:
    """The device serves a release of layout 1, put there by the earlier code alone."""
    simulation = simulated.simulation
    _push_earlier_image(client, simulated, earlier)
    project = light_project.make(folder / "new", simulation, releases={})
    (project / "deploy" / "policies" / "quick.yml").write_text(POLICY)
    hosts = simulation.inventory.read_text(encoding="utf-8")
    (project / "hosts.yml").write_text(hosts.replace("thor_profile: tiny-qwable", f"thor_profile: {PROFILE}"))
    document = earlier.python(
        "import json; from tests.doubles.light_project import profile;"
        f"print(json.dumps(profile({PROFILE!r}, {{}}, 'thorctl/{PROFILE}', {TAG!r})))"
    )
    before = earlier.project(folder / "earlier", {PROFILE: document})
    via = [word for pair in simulation.via.items() for word in ("--via", "=".join(pair))]
    earlier.thorctl(before, "--json", "lock", PROFILE, "--platform", "linux/amd64", *via)
    earlier.playbook("site", simulation.inventory, before, PROFILE)
    return UpgradeWorld(simulated, project, folder / "state")


def _push_earlier_image(client: DockerClient, simulated: Simulated, earlier: EarlierCode) -> None:
    """The light engine of that time: it has the ``hf`` that the earlier agent downloads with."""
    name = earlier.python(
        "import json; from tests.doubles import light_image; from thorctl.sim import engine;"
        "print(json.dumps(light_image.ensure(engine.connect(), 'amd64')))"
    )
    image, port = client.images.get(name), simulated.simulation.push_port
    assert image.id is not None
    assert port is not None
    registry.push(client, image.id, light_image.REPOSITORY, TAG, port=port, on_progress=lambda _: None)
