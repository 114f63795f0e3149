"""Releases through twelve devices on three sites: one off, one on hold, one with a bad disk.

One story, in this order, on one fleet. What is claimed of a device is asked of the device: its journal, its
own record, what its engine says over HTTP, and since when that engine runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.fleet.dozen import (
    ANOTHER,
    BABBLES,
    BAD_DISK,
    BETTER,
    CANARY,
    DEVICES,
    FIRST,
    KIEL,
    LATE,
    LYON,
    OF_ANOTHER,
    OFFLINE,
    ON_HOLD,
    OSLO,
    labels,
    of_verbs,
    stands,
)

if TYPE_CHECKING:
    from tests.system.fleet.dozen import Dozen, Seen

pytestmark = [pytest.mark.sim, pytest.mark.long]

REACHED = [name for name in DEVICES if name != OFFLINE]
UPDATED = [name for name in DEVICES if name not in {OFFLINE, ON_HOLD, BAD_DISK}]
WAVES = [[CANARY], list(LYON), [name for name in OSLO if name != CANARY], list(KIEL)]


@pytest.fixture(scope="module")
def beginning(dozen: Dozen) -> dict[str, Seen]:
    """The fleet as provisioned; afterwards one is switched off, one on patrol, and one's disk fails."""
    found = dozen.look()
    dozen.switch_off(OFFLINE)
    dozen.sim.run(ON_HOLD, "sudo thor-agent hold set 'on patrol'")
    dozen.writable(BAD_DISK, writable=False)
    return found


def phases(envelope: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["phase"] for one in envelope["data"]["devices"]}


def errors(envelope: dict[str, Any]) -> dict[str, str]:
    return {one["device"]: one["code"] for one in envelope["errors"]}


def test_site_yml_has_taken_all_twelve_to_what_the_inventory_wants(beginning: dict[str, Seen]) -> None:
    assert labels(beginning) == {**dict.fromkeys(DEVICES, FIRST), OF_ANOTHER: ANOTHER}
    assert {one.state for one in beginning.values()} == {"committed"}


def test_a_plan_says_it_all_and_changes_nothing(dozen: Dozen, beginning: dict[str, Seen]) -> None:
    plan = dozen.json("rollout", "start", BETTER, "--policy", "sites", "--dry-run")["data"]["plan"]
    assert [wave["devices"] for wave in plan["waves"]] == WAVES
    devices = {one["name"]: one for one in plan["devices"]}
    assert [name for name, one in devices.items() if not one["reached"]] == [OFFLINE]
    assert devices[ON_HOLD]["remarks"] == ["on hold: on patrol"]
    for name in REACHED:
        assert devices[name]["before"] == beginning[name].release
        assert devices[name]["download_bytes"] > 4_000_000
    after = dozen.look(REACHED)
    assert stands(after) == stands(beginning, but=[OFFLINE])
    for name, one in after.items():
        assert (one.staged, one.leased) == (beginning[name].staged, False)
        assert set(of_verbs(beginning[name], one)) <= {"hold"}


def test_wave_after_wave_all_that_can_be_changed_is(dozen: Dozen, beginning: dict[str, Seen]) -> None:
    done = dozen.thorctl("rollout", "start", BETTER, "--policy", "sites", "--yes", "--json")
    envelope = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == envelope["exit_code"] == 3, done.stdout + done.stderr
    assert envelope["data"]["status"] == "incomplete"
    assert envelope["data"]["counts"] == {"well": 9, "failed": 1, "absent": 2, "still": 0}
    assert [wave["devices"] for wave in envelope["data"]["waves"]] == WAVES
    assert errors(envelope) == {BAD_DISK: "device_failed", OFFLINE: "device_absent", ON_HOLD: "device_absent"}

    after = dozen.look(REACHED)
    assert labels(after) == {**dict.fromkeys(UPDATED, BETTER), ON_HOLD: FIRST, BAD_DISK: FIRST}
    assert not any(one.leased for one in after.values())
    for name in UPDATED:
        assert after[name].activations == beginning[name].activations + 1
        assert [verb for verb in of_verbs(beginning[name], after[name]) if verb != "lease"] == [
            *("stage", "activate", "smoke", *(["soak"] if name in WAVES[0] else []), "commit")
        ]
    # Neither was served by another engine for a moment; the one on hold has all bytes for when it comes back.
    assert all(after[name].stands == beginning[name].stands for name in (ON_HOLD, BAD_DISK))
    assert len(after[ON_HOLD].staged) == len(beginning[ON_HOLD].staged) + 1
    assert after[BAD_DISK].staged == beginning[BAD_DISK].staged
    assert_staged_first_then_wave_by_wave(after)


def assert_staged_first_then_wave_by_wave(after: dict[str, Seen]) -> None:
    """By the devices' own records."""
    staged = max(after[name].times("stage", "end")[-1] for name in UPDATED)
    ended = staged
    for wave in WAVES:
        mine = [after[name] for name in wave if name in UPDATED]
        assert ended <= min(one.times("activate", "begin")[-1] for one in mine)
        ended = max(one.times("commit", "end")[-1] for one in mine)


def test_who_was_away_is_caught_up_by_resume(dozen: Dozen) -> None:
    dozen.sim.run(ON_HOLD, "sudo thor-agent hold clear")
    dozen.switch_on(OFFLINE)
    before = dozen.look()
    assert before[OFFLINE].label == FIRST
    envelope = dozen.json("rollout", "resume", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (3, "finished")
    assert errors(envelope) == {BAD_DISK: "device_failed"}
    assert envelope["data"]["counts"] == {"well": 11, "failed": 1, "absent": 0, "still": 0}
    later = envelope["data"]["waves"][len(WAVES) :]
    assert {wave["name"] for wave in later} == {"catch-up"}
    assert sorted(name for wave in later for name in wave["devices"]) == sorted([OFFLINE, ON_HOLD])

    after = dozen.look()
    assert labels(after) == {**dict.fromkeys(DEVICES, BETTER), BAD_DISK: FIRST}
    assert stands(after, but=[OFFLINE, ON_HOLD]) == stands(before, but=[OFFLINE, ON_HOLD])
    for name in (OFFLINE, ON_HOLD):
        assert after[name].activations == before[name].activations + 1
        shown = dozen.json("history", "show", envelope["data"]["id"], name)["data"]
        begun = [step["verb"] for step in shown["steps"] if step["event"] == "step_begun"]
        assert begun.count("activate") == 1


def test_a_release_that_babbles_stops_at_the_canary(dozen: Dozen) -> None:
    before = dozen.look()
    envelope = dozen.json("rollout", "start", BABBLES, "--policy", "sites", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (1, "stopped")
    assert errors(envelope) == {CANARY: "device_failed", BAD_DISK: "device_failed"}
    assert "smoke_failed" in next(one["message"] for one in envelope["errors"] if one["device"] == CANARY)
    assert phases(envelope) == {
        **dict.fromkeys(DEVICES, "staged"),
        **dict.fromkeys([CANARY, BAD_DISK], "failed"),
    }

    after = dozen.look()
    assert labels(after) == labels(before)
    assert after[CANARY].release == before[CANARY].release
    assert after[CANARY].activations == before[CANARY].activations + 1
    assert stands(after, but=[CANARY]) == stands(before, but=[CANARY])
    assert all("activate" not in of_verbs(before[name], after[name]) for name in DEVICES if name != CANARY)
    assert not any(one.leased for one in after.values())


def test_one_that_fails_in_the_second_wave_only_is_taken_back_everywhere(dozen: Dozen) -> None:
    # Mended, it serves another release than the rest, and that one it returns to.
    dozen.writable(BAD_DISK, writable=True)
    wrong, dead, *fine = LYON[0], OFFLINE, BAD_DISK, LYON[3]
    dozen.misbehave(wrong, {LATE: "wrong_answer"})
    dozen.misbehave(dead, {LATE: "exits"})
    before = dozen.look()
    options = ("--stop-at", "2", "--approve", "after_canary", "--no-wait")
    asked = dozen.json("rollout", "start", LATE, "--policy", "sites", "--yes", *options)
    assert (asked["exit_code"], asked["data"]["status"]) == (3, "waits for approval")
    between = dozen.look()
    assert labels(between) == {**labels(before), CANARY: LATE}
    assert stands(between, but=[CANARY]) == stands(before, but=[CANARY])

    assert dozen.json("rollout", "approve", "--yes")["exit_code"] == 0
    assert labels(dozen.look([CANARY, *LYON])) == labels({name: between[name] for name in (CANARY, *LYON)})
    envelope = dozen.json("rollout", "resume", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (1, "stopped")
    assert envelope["data"]["reason"] == "2 devices failed; the policy stops at 2"
    assert errors(envelope) == dict.fromkeys([wrong, dead], "device_failed")
    assert phases(envelope) == {
        **dict.fromkeys(DEVICES, "staged"),
        **dict.fromkeys([wrong, dead], "failed"),
        **dict.fromkeys([CANARY, *fine], "rolled back"),
    }

    after = dozen.look()
    changed = [CANARY, *LYON]
    assert labels(after) == labels(before)
    assert after[BAD_DISK].label == FIRST
    for name in changed:
        assert (after[name].state, after[name].release) == ("committed", before[name].release)
        assert after[name].activations == before[name].activations + 1
    assert stands(after, but=changed) == stands(before, but=changed)
    assert not any(one.leased for one in after.values())
