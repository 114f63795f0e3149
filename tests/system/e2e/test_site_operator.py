"""What an operator says to a device that serves: every verb on the real vLLM, and what the device refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE, PROFILE, envelope

if TYPE_CHECKING:
    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

PROMISED = [
    "name",
    "site",
    "reachable",
    "state",
    "release",
    "engine",
    "model",
    "l4t",
    "power_mode",
    "memory_available_bytes",
    "disk_free_bytes",
    "last_smoke",
]


def test_status_tells_what_serves(world: World, committed: str) -> None:
    answer = envelope(world.thorctl("status", DEVICE, "--json"))
    assert answer["status"] == "success"
    (device,) = answer["data"]["devices"]
    assert set(PROMISED) <= set(device)
    assert (device["state"], device["release"], device["engine"]) == ("committed", committed, "ready")
    assert (device["model"], device["l4t"], device["power_mode"]) == ("tiny-qwable", "38.4.0", "120W")
    assert device["last_smoke"]["passed"] is True
    assert device["wanted_release"] == committed


def test_status_shows_a_bare_device_beside_it(world: World, committed: str) -> None:
    answer = envelope(world.thorctl("status", "--json"))
    assert answer["status"] == "partial"
    assert [device["state"] for device in answer["data"]["devices"]] == [None, "committed"]
    assert [error["code"] for error in answer["errors"]] == ["agent_missing"]


def test_status_names_everything_that_was_changed_by_hand(world: World, committed: str) -> None:
    def drift() -> dict[str, dict[str, Any]]:
        (device,) = envelope(world.thorctl("status", DEVICE, "--json"))["data"]["devices"]
        assert {one["same"] for one in device["compared"]} <= {True, False}
        return {one["what"]: one for one in device["drift"]}

    assert drift() == {}
    served = f"/var/lib/thor/releases/{committed}/serve.yaml"
    world.sim.run(DEVICE, f"sudo cp -p {served} /root/kept && echo '# by hand' | sudo tee -a {served}")
    world.sim.run(DEVICE, "sudo apt-mark unhold docker.io && sudo nvpmodel -m 0")
    try:
        found = drift()
        shown = world.thorctl("status", DEVICE).stdout
        table = world.thorctl("status", DEVICE, "--drift", "--verbose").stdout
    finally:
        world.sim.run(DEVICE, f"sudo cp -p /root/kept {served} && sudo rm /root/kept")
        world.sim.run(DEVICE, "sudo apt-mark hold docker.io && sudo nvpmodel -m 1")
    assert set(found) == {"release serve.yaml", "packages held", "power mode"}
    held = found["packages held"]
    assert set(held["wanted"]) - set(held["found"]) == {"docker.io"}
    assert (found["power mode"]["wanted"], found["power mode"]["found"]) == ("120W", "MAXN")
    for words in ("release serve.yaml was changed", "not docker.io", "power mode is MAXN, not 120W"):
        assert words in shown
    for words in ("image on disk", "container image", "installed unit", "checkpoint"):
        assert words in table
    assert drift() == {}


def test_chat_shows_thinking_and_answer_apart(world: World, committed: str) -> None:
    data = envelope(world.thorctl("chat", DEVICE, "What is the capital of France?", "--json"))["data"]
    assert "Paris" in data["answer"]
    assert data["thinking"].strip()
    assert "think>" not in data["thinking"] + data["answer"]
    assert data["usage"]["completion_tokens"] > 0


def test_chat_reads_a_pipe(world: World, committed: str) -> None:
    done = world.thorctl("chat", DEVICE, "--no-thinking", stdin="What is the capital of France?\n")
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_smoke_shows_every_prompt(world: World, committed: str) -> None:
    answer = envelope(world.thorctl("smoke", DEVICE, "--json"))
    assert answer["status"] == "success"
    (device,) = answer["data"]["devices"]
    assert len(device["generations"]) >= 10
    assert all(one["answer"] and not one["failed_checks"] for one in device["generations"])


@pytest.mark.parametrize(
    ("which", "expected"), [("--engine", "vLLM"), ("--agent", "activate"), ("--events", "activate")]
)
def test_logs(world: World, committed: str, which: str, expected: str) -> None:
    done = world.thorctl("logs", DEVICE, which, "-n", "2000")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_a_digest_that_the_registry_does_not_have(world: World, committed: str) -> None:
    lock = world.project / "deploy" / "locks" / f"{PROFILE}.lock.json"
    before = lock.read_text()
    document = json.loads(before)
    document["image"]["digest"] = "sha256:" + "0" * 64
    del document["sha256"]  # as an earlier version wrote it: an edited lock would be named as edited
    lock.write_text(json.dumps(document))
    try:
        (error,) = envelope(world.thorctl("stage", DEVICE, "--yes", "--json"))["errors"]
    finally:
        lock.write_text(before)
    assert (error["code"], error["device"]) == ("image_not_found", DEVICE)
    status = world.status()
    assert (status["state"], status["release"], status["progress"]) == ("committed", committed, None)


def test_a_device_that_is_switched_off(world: World, committed: str) -> None:
    world.sim.container("thor-01").stop(timeout=5)
    try:
        answer = envelope(world.thorctl("status", "--json"))
    finally:
        world.sim.container("thor-01").start()
    assert answer["status"] == "partial"
    assert [device["reachable"] for device in answer["data"]["devices"]] == [False, True]
    (error,) = answer["errors"]
    assert (error["code"], error["device"]) == ("device_unreachable", "thor-01")
    assert error["remedy"]
