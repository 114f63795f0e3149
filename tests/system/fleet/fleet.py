"""Devices that serve the same release, and a project with two to roll out: a good and a bad one.

Two with the light engine, which is ready at once; two with the real vLLM, or only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.playbooks.playbook_run import playbook
from tests.system.e2e.site_world import BROKEN, PROFILE
from tests.system.faults.container_ground import BABBLES, NEW, OLD, restore
from tests.system.fleet.fleet_world import FleetWorld

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulated import Simulated
    from tests.system.faults.container_ground import Ground

OTHER = "tiny-qwable-other"  # the same bytes, another environment: another release
# A short soak, and speeds that two noisy cores cannot miss.
POLICY = """---
schema: 1
name: quick
description: For tests.
canary: {count: 1}
waves: [{rest: true}]
soak_seconds: 5
errors: {stop_at_devices: 1}
speed: {tolerance_percent: 95}
"""
PROFILE_OTHER = f"""---
schema: 1
extends: {PROFILE}
name: {OTHER}
description: The same model with another environment.
environment: {{THORCTL_ROLLOUT: other}}
"""


# For ``pytest.mark.parametrize("fleet", …, indirect=True)``.
LIGHT, VLLM, ONE_VLLM = "light", "vllm", "one vllm"
REAL = pytest.param(VLLM, marks=[pytest.mark.vllm, pytest.mark.long])
REAL_ALONE = pytest.param(ONE_VLLM, marks=pytest.mark.vllm)


@dataclass(frozen=True, kw_only=True)
class Fleet(FleetWorld):
    """Some devices of a simulation.

    Attributes:
        devices: in the order of a rollout: the first is the canary.
        release: profile of the release that all serve at first.
        other: profile of a good release, all of whose bytes are on the devices.
        broken: profile of a release that fails its smoke test.
    """

    devices: tuple[str, ...]
    release: str
    other: str
    broken: str

    def releases(self) -> list[tuple[str, str | None]]:
        """State and release of each device."""
        return [(one["state"], one["release"]) for one in map(self.status, self.devices)]

    def next_release(self) -> str:
        """Profile of the good release that the first device does not serve."""
        serves_other = self.status(self.devices[0])["release"].startswith(f"{self.other}-")
        return self.release if serves_other else self.other


def light(ground: Ground, state: Path) -> Fleet:
    """The devices of the fault table, as every row finds them, and smoked."""
    devices = ground.first, ground.second
    for device in devices:
        restore(ground, device)
        device.done("smoke")  # as site.yml leaves it: the speed before the rollout is known
    _add_policy(ground.project)
    names = tuple(device.name for device in devices)
    return Fleet(ground.sim, ground.project, state, devices=names, release=OLD, other=NEW, broken=BABBLES)


def real(sim: Simulated, project: Path, state: Path, devices: tuple[str, ...]) -> Fleet:
    """Devices provisioned by site.yml, if an earlier test has not done so."""
    made = Fleet(sim, project, state, devices=devices, release=PROFILE, other=OTHER, broken=BROKEN)
    (project / "deploy" / "profiles" / f"{OTHER}.yml").write_text(PROFILE_OTHER)
    _add_policy(project)
    done = made.thorctl("lock", OTHER)
    assert done.returncode == 0, done.stdout + done.stderr
    run = playbook(
        *("-i", str(made.inventory), "--limit", ",".join(devices), "site.yml"),
        *("-e", f"thor_deploy={project / 'deploy'}", "-e", f"thor_profile={PROFILE}"),
    )
    assert run.exit_code == 0, run.text
    return made


def _add_policy(project: Path) -> None:
    folder = project / "deploy" / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "quick.yml").write_text(POLICY)
