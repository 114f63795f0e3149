"""Rollouts over real devices: a good release with the real vLLM, a bad one, a controller that is killed."""

from __future__ import annotations

import json
import signal
import stat
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.fleet.fleet import LIGHT, REAL, REAL_ALONE

if TYPE_CHECKING:
    from tests.system.fleet.fleet import Fleet

pytestmark = pytest.mark.sim


def verbs(lines: list[dict[str, Any]], device: str) -> list[str]:
    return [line["verb"] for line in lines if line["device"] == device and line["event"] == "step_begun"]


@pytest.mark.parametrize("fleet", [LIGHT, REAL, REAL_ALONE], indirect=True)
def test_a_good_release_reaches_all(fleet: Fleet) -> None:
    canary, last = fleet.devices[0], fleet.devices[-1]
    before = fleet.releases()
    assert {state for state, _ in before} == {"committed"}
    words = (fleet.other, *fleet.devices, "--policy", "quick")
    plan = fleet.json("rollout", "plan", *words)["data"]["plan"]
    waves = [wave["devices"] for wave in plan["waves"]]
    assert [wave for wave in waves if wave] == [[device] for device in fleet.devices]
    assert {(one["before"], one["download_bytes"]) for one in plan["devices"]} == {(before[0][1], 0)}
    assert fleet.releases() == before

    done = fleet.thorctl("rollout", "start", *words, "--yes", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    envelope = lines.pop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (envelope["command"], envelope["data"]["status"]) == ("rollout start", "finished")
    after = fleet.releases()
    assert {state for state, _ in after} == {"committed"}
    assert {release for _, release in after} == {plan["devices"][0]["release"]}
    for device in fleet.devices:
        told = verbs(lines, device)
        assert [verb for verb in told if verb != "look"] == [
            "preflight",
            "stage",
            "take",
            "activate",
            "smoke",
            *(["soak"] if device == canary else []),  # the canary is worked
            "commit",
            "give",
        ]
        assert fleet.status(device)["lease"] is None
    committed = [(line["device"], line["verb"]) for line in lines if line["verb"] in {"commit", "activate"}]
    for earlier, later in pairwise(fleet.devices):
        assert committed.index((earlier, "commit")) < committed.index((later, "activate"))

    shown = fleet.json("history", "show", envelope["data"]["id"], last)["data"]
    assert {step["verb"] for step in shown["steps"]} >= {"stage", "activate", "smoke", "commit"}
    assert shown["logs"] == []  # no playbook ran
    for folder in (fleet.state, fleet.state / "rollouts" / envelope["data"]["id"]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert last in fleet.thorctl("history", "show", envelope["data"]["id"], last, "--logs").stdout

    again = fleet.json("rollout", "start", *words, "--yes")
    assert (again["status"], again["data"]["plan"]["there"]) == ("success", list(fleet.devices))


@pytest.mark.parametrize("fleet", [LIGHT, REAL], indirect=True)
def test_a_bad_release_stops_at_the_canary(fleet: Fleet) -> None:
    before = fleet.releases()
    untouched = fleet.engine_started_at("thor-02")
    activations = fleet.activations("thor-02")
    envelope = fleet.json("rollout", "start", fleet.broken, "--policy", "quick", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (1, "stopped")
    (error,) = envelope["errors"]
    assert (error["code"], error["device"]) == ("device_failed", "thor-01")
    assert "smoke_failed" in error["message"]
    assert [one["phase"] for one in envelope["data"]["devices"]] == ["failed", "staged"]
    assert fleet.releases() == before
    assert fleet.engine_started_at("thor-02") == untouched
    assert fleet.activations("thor-02") == activations
    assert all(fleet.status(device)["lease"] is None for device in fleet.devices)
    assert fleet.json("smoke", "thor-01")["status"] == "success"


@pytest.mark.parametrize("fleet", [LIGHT, REAL], indirect=True)
@pytest.mark.parametrize(
    ("sign", "state"),
    [
        # And at more moments in tests/system/faults/rollout_rows.py, with the light engine.
        pytest.param("thor-01: activating", "activating", marks=pytest.mark.long),
        ("thor-01: smoke test passed", "trial"),
    ],
)
def test_a_controller_that_is_killed_on_the_way(fleet: Fleet, sign: str, state: str) -> None:
    before = [fleet.activations(device) for device in fleet.devices]
    release = fleet.next_release()
    with fleet.at_work("rollout", "start", release, "--policy", "quick", "--yes", "--soak", "15") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if sign in line:
                break
        while fleet.status("thor-01")["state"] != state:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert fleet.status("thor-01")["state"] in {state, "trial"}
    standing = fleet.json("rollout", "status")["data"]
    assert (standing["status"], standing["next"]) == (
        "interrupted",
        f"thorctl rollout resume {standing['id']}",
    )

    envelope = fleet.json("rollout", "resume", "--yes")
    assert envelope["data"]["status"] == "finished", envelope
    assert {state for state, _ in fleet.releases()} == {"committed"}
    assert [fleet.activations(device) for device in fleet.devices] == [count + 1 for count in before]
    assert all(fleet.status(device)["lease"] is None for device in fleet.devices)


@pytest.mark.parametrize("fleet", [LIGHT, REAL], indirect=True)
def test_a_lease_by_hand_and_a_rollback(fleet: Fleet) -> None:
    (_, now), _ = fleet.releases()
    taken = fleet.json("lease", "take", "thor-02", "--reason", "antenna")
    assert taken["data"]["devices"][0]["lease"]["reason"] == "antenna"
    refused = fleet.sim.ssh("thor-02", "sudo thor-agent --holder carl@lab rollback")
    assert json.loads(refused.stdout)["error"]["code"] == "leased"
    assert "antenna" in fleet.thorctl("lease", "show").stdout
    assert fleet.json("lease", "give", "thor-02")["data"]["devices"][0]["lease"] is None

    asked = fleet.thorctl("rollback", "thor-01", "--dry-run")
    assert str(now) in asked.stdout
    done = fleet.json("rollback", "thor-01", "--yes")
    assert done["status"] == "success"
    assert fleet.status("thor-01")["release"] != now
