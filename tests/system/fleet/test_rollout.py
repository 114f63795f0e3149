"""Rollouts over real devices with the real vLLM: a good release, a bad one, a controller that is killed."""

from __future__ import annotations

import json
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import BROKEN, PROFILE
from tests.system.fleet.pair import DEVICES, OTHER

if TYPE_CHECKING:
    from tests.system.fleet.pair import Pair

pytestmark = [pytest.mark.sim, pytest.mark.vllm]


def verbs(lines: list[dict[str, Any]], device: str) -> list[str]:
    return [line["verb"] for line in lines if line["device"] == device and line["event"] == "step_begun"]


def test_a_good_release_reaches_both(pair: Pair) -> None:
    before = pair.releases()
    assert [state for state, _ in before] == ["committed", "committed"]
    plan = pair.json("rollout", "plan", OTHER, "--policy", "quick")["data"]["plan"]
    assert [wave["devices"] for wave in plan["waves"]] == [["thor-01"], ["thor-02"]]
    assert {(one["before"], one["download_bytes"]) for one in plan["devices"]} == {(before[0][1], 0)}
    assert pair.releases() == before

    done = pair.thorctl("rollout", "start", OTHER, "--policy", "quick", "--yes", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    envelope = lines.pop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (envelope["command"], envelope["data"]["status"]) == ("rollout start", "finished")
    after = pair.releases()
    assert {state for state, _ in after} == {"committed"}
    assert {release for _, release in after} == {plan["devices"][0]["release"]}
    for device in DEVICES:
        told = verbs(lines, device)
        assert [verb for verb in told if verb != "look"] == [
            "preflight",
            "stage",
            "take",
            "activate",
            "smoke",
            *(["soak"] if device == "thor-01" else []),  # the canary is worked
            "commit",
            "give",
        ]
        assert pair.status(device)["lease"] is None
    committed = [(line["device"], line["verb"]) for line in lines if line["verb"] in {"commit", "activate"}]
    assert committed.index(("thor-01", "commit")) < committed.index(("thor-02", "activate"))

    shown = pair.json("history", "show", envelope["data"]["id"], "thor-02")["data"]
    assert {step["verb"] for step in shown["steps"]} >= {"stage", "activate", "smoke", "commit"}
    assert len(shown["logs"]) == 2
    for folder in (pair.state, pair.state / "rollouts" / envelope["data"]["id"]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "thor-02" in pair.thorctl("history", "show", envelope["data"]["id"], "thor-02", "--logs").stdout

    again = pair.json("rollout", "start", OTHER, "--policy", "quick", "--yes")
    assert (again["status"], again["data"]["plan"]["there"]) == ("success", list(DEVICES))


def test_a_bad_release_stops_at_the_canary(pair: Pair) -> None:
    before = pair.releases()
    untouched = pair.engine_started_at("thor-02")
    activations = pair.activations("thor-02")
    envelope = pair.json("rollout", "start", BROKEN, "--policy", "quick", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (1, "stopped")
    (error,) = envelope["errors"]
    assert (error["code"], error["device"]) == ("device_failed", "thor-01")
    assert "smoke_failed" in error["message"]
    assert [one["phase"] for one in envelope["data"]["devices"]] == ["failed", "staged"]
    assert pair.releases() == before
    assert pair.engine_started_at("thor-02") == untouched
    assert pair.activations("thor-02") == activations
    assert all(pair.status(device)["lease"] is None for device in DEVICES)
    assert pair.json("smoke", "thor-01")["status"] == "success"


@pytest.mark.parametrize(
    ("sign", "state"),
    [
        # And at more moments in tests/system/faults/rollout_rows.py, with the light engine.
        pytest.param("thor-01: activating", "activating", marks=pytest.mark.long),
        ("thor-01: smoke test passed", "trial"),
    ],
)
def test_a_controller_that_is_killed_on_the_way(pair: Pair, sign: str, state: str) -> None:
    before = [pair.activations(device) for device in DEVICES]
    release = PROFILE if pair.status("thor-01")["release"].startswith(OTHER) else OTHER
    with pair.at_work("rollout", "start", release, "--policy", "quick", "--yes", "--soak", "30") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if sign in line:
                break
        while pair.status("thor-01")["state"] != state:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert pair.status("thor-01")["state"] in {state, "trial"}
    standing = pair.json("rollout", "status")["data"]
    assert (standing["status"], standing["next"]) == (
        "interrupted",
        f"thorctl rollout resume {standing['id']}",
    )

    envelope = pair.json("rollout", "resume", "--yes")
    assert envelope["data"]["status"] == "finished", envelope
    assert {state for state, _ in pair.releases()} == {"committed"}
    assert [pair.activations(device) for device in DEVICES] == [count + 1 for count in before]
    assert all(pair.status(device)["lease"] is None for device in DEVICES)


def test_a_lease_by_hand_and_a_rollback(pair: Pair) -> None:
    (_, now), _ = pair.releases()
    taken = pair.json("lease", "take", "thor-02", "--reason", "antenna")
    assert taken["data"]["devices"][0]["lease"]["reason"] == "antenna"
    refused = pair.sim.ssh("thor-02", "sudo thor-agent --holder carl@lab rollback")
    assert json.loads(refused.stdout)["error"]["code"] == "leased"
    assert "antenna" in pair.thorctl("lease", "show").stdout
    assert pair.json("lease", "give", "thor-02")["data"]["devices"][0]["lease"] is None

    asked = pair.thorctl("rollback", "thor-01", "--dry-run")
    assert str(now) in asked.stdout
    done = pair.json("rollback", "thor-01", "--yes")
    assert done["status"] == "success"
    assert pair.status("thor-01")["release"] != now
