"""Two devices that serve the same release, and a project with two to roll out: a good and a bad one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook
from tests.system.e2e.site_world import PROFILE
from tests.system.fleet.fleet_world import FleetWorld

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun

DEVICES = ("thor-01", "thor-02")
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


@dataclass(frozen=True)
class Pair(FleetWorld):
    """Two devices of the simulation, with the real vLLM."""

    def provision(self) -> PlaybookRun:
        """Both devices on the first release, by site.yml."""
        return playbook(
            *("-i", str(self.sim.simulation.inventory), "--limit", ",".join(DEVICES), "site.yml"),
            *("-e", f"thor_deploy={self.project / 'deploy'}", "-e", f"thor_profile={PROFILE}"),
        )

    def add_releases(self) -> None:
        """The other release, and the policy."""
        deploy = self.project / "deploy"
        (deploy / "policies").mkdir()
        (deploy / "policies" / "quick.yml").write_text(POLICY)
        (deploy / "profiles" / f"{OTHER}.yml").write_text(PROFILE_OTHER)
        done = self.thorctl("lock", OTHER)
        assert done.returncode == 0, done.stdout + done.stderr

    def releases(self) -> list[tuple[str, str | None]]:
        """State and release of each device."""
        return [(one["state"], one["release"]) for one in map(self.status, DEVICES)]
