"""A first release that fails its smoke, on a device: kept for review by a playbook, run out, and accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.site_world import World, envelope, wait_until
from tests.system.faults.container_ground import BABBLES, OLD

if TYPE_CHECKING:
    from tests.system.faults.container_ground import Ground

pytestmark = pytest.mark.sim

REASON = "it babbles, as it is made to"
RUNS_OUT_SECONDS = 10


@pytest.fixture
def world(ground: Ground) -> World:
    """A device that serves nothing and knows of no release; the bytes of its last one stay."""
    world = World(ground.sim, ground.second.name, ground.project)
    world.sim.run(world.device, "sudo rm -f /var/lib/thor/state.json")
    assert world.agent("recover --committed none")["ok"]
    assert world.status()["state"] == "empty"
    return world


def test_a_first_release_that_fails_its_smoke_is_kept_for_review(world: World, ground: Ground) -> None:
    """It runs out once, and is accepted the other time; afterwards the device has its good release again."""
    for verb in ("stage", "activate"):
        done = world.thorctl(verb, world.device, "--release", BABBLES, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
    keep = f"thor_smoke_keep_failed_trial={RUNS_OUT_SECONDS}"
    smoked = world.playbook("smoke", "-e", keep, profile=BABBLES)
    assert smoked.exit_code != 0
    assert f"{world.device} keeps {BABBLES}-" in smoked.text
    wait_until(lambda: world.status()["state"] == "empty", seconds=120)
    assert world.status()["engine"]["unit"] == "inactive"

    assert world.agent(f"activate {ground.releases[BABBLES].id}")["ok"]
    assert world.agent("smoke")["error"]["code"] == "smoke_failed"
    assert world.agent("review --seconds=3600")["ok"]
    assert "kept for review, " in world.thorctl("status", world.device).stdout
    words = ("commit", world.device, "--accept-failed-smoke", REASON, "--json")
    assert envelope(world.thorctl(*words))["errors"][0]["code"] == "consent_missing"
    (device,) = envelope(world.thorctl(*words, "--yes"))["data"]["devices"]
    assert (device["state"], device["accepted"]["reason"]) == ("committed", REASON)
    assert world.status()["last_smoke"]["accepted"] == device["accepted"]
    assert REASON in world.thorctl("logs", world.device, "--events").stdout
    for verb in (f"activate {ground.releases[OLD].id}", "smoke", "commit"):
        assert world.agent(verb)["ok"]
