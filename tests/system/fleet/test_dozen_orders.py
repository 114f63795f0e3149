"""What operators say to rollouts and devices while others are at work, on the fleet of twelve."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.system.fleet.dozen import ANOTHER, BETTER, FIRST, KIEL, OF_ANOTHER, OSLO, SPARE, labels, stands
from tests.system.fleet.dozen import second_operator as another_operator

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.system.fleet.dozen import Dozen

pytestmark = [pytest.mark.sim, pytest.mark.long]

SETTLES_SECONDS = 6  # three turns of a rollout's engine: whatever it would begin, it has begun
QUICK = """---
schema: 1
name: quick
description: One, then the rest; who is used by others is not waited for.
canary: {count: 1}
waves: [{rest: true}]
soak_seconds: 5
errors: {stop_at_devices: 1}
speed: {tolerance_percent: 95}
wait: {lease_seconds: 1, evidence_seconds: 0}
"""
# One site's window is open, the other's on another day only.
NIGHT = """---
schema: 1
name: night
description: Two sites, one of which is not to be changed today.
canary: {{devices: [{canary}]}}
waves: [{{rest: true}}]
soak_seconds: 5
errors: {{stop_at_devices: 1}}
speed: {{tolerance_percent: 95}}
windows:
  sites:
    kiel: {{zone: Europe/Berlin, open: ["{day} 00:00-24:00"]}}
  default: {{zone: Etc/UTC, open: ["00:00-24:00"]}}
  closing_margin_minutes: 0
"""


def read_until(process: subprocess.Popen[str], sign: str) -> str:
    """What it says up to the line with ``sign``."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if sign in line:
            return said
    raise AssertionError(f"it ended without {sign!r}: {said}")


def test_a_second_operator_is_told_who_is_at_work_and_an_abort_takes_it_back(
    dozen: Dozen, tmp_path: Path
) -> None:
    before = dozen.look(KIEL)
    first, *rest = KIEL
    carl = another_operator(dozen, tmp_path)
    dozen.add_policy(QUICK)
    words = ("rollout", "start", SPARE, "site_kiel", "--policy", "quick", "--yes")
    with dozen.at_work(*words, "--soak", "600") as process:
        read_until(process, f"{first}: smoke test passed")
        (lease,) = carl.json("lease", "show", first)["data"]["devices"]
        assert lease["lease"]["reason"].startswith("rollout ")
        holder = lease["lease"]["holder"]
        assert not holder.startswith("carl@")

        refused = carl.json("rollback", first, "--yes")
        assert refused["exit_code"] == 4
        assert holder in refused["errors"][0]["message"]
        theirs = carl.json(*words)
        assert (theirs["exit_code"], theirs["data"]["status"]) == (3, "paused")
        assert SPARE in next(one["why"] for one in theirs["data"]["devices"] if one["name"] == first)
        assert stands(dozen.look(rest)) == stands(before, but=[first])
        # The same person, on the same machine: refused before a device is asked.
        again = dozen.json(*words)
        assert (again["exit_code"], again["errors"][0]["code"]) == (4, "rollout_at_work")

        assert dozen.json("rollout", "abort", "--return", "--yes", "--reason", "enough")["exit_code"] == 0
        said = read_until(process, "aborted by")
        assert process.wait() == 1, said
    after = dozen.look(KIEL)
    assert (after[first].state, after[first].label) == ("committed", before[first].label)
    assert stands(after, but=[first]) == stands(before, but=[first])
    assert not any(one.leased for one in after.values())


def test_a_site_outside_its_window_waits_and_is_left_alone_by_a_pause_and_an_abort(dozen: Dozen) -> None:
    open_one, closed_one = OSLO[1], KIEL[2]
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}"
    dozen.add_policy(NIGHT.format(canary=open_one, day=day))
    before = dozen.look([open_one, closed_one])
    words = ("rollout", "start", SPARE, open_one, closed_one, "--policy", "night", "--yes")
    plan = dozen.json(*words, "--dry-run")["data"]["plan"]
    assert {one["name"]: one["opens_at"] is None for one in plan["devices"]} == {
        open_one: True,
        closed_one: False,
    }
    with dozen.at_work(*words) as process:
        read_until(process, "wave 2 opens")
        time.sleep(SETTLES_SECONDS)
        standing = dozen.json("rollout", "status")["data"]
        assert (standing["status"], standing["wave"]) == ("running", 2)
        assert labels(dozen.look([open_one, closed_one])) == {open_one: SPARE, closed_one: BETTER}
        assert dozen.json("rollout", "pause", "--reason", "tea")["exit_code"] == 0
        assert process.wait() == 3
    paused = dozen.json("rollout", "status")["data"]
    assert paused["status"] == "paused"
    assert "tea" in paused["reason"]
    envelope = dozen.json("rollout", "abort", "--return", "--yes")
    assert (envelope["exit_code"], envelope["data"]["status"]) == (0, "aborted")
    assert [one["phase"] for one in envelope["data"]["devices"]] == ["rolled back", "staged"]
    after = dozen.look([open_one, closed_one])
    assert after[open_one].release == before[open_one].release
    assert stands(after, but=[open_one]) == stands(before, but=[open_one])
    assert not any(one.leased for one in after.values())


def test_a_group_goes_back_each_to_the_release_it_had(dozen: Dozen) -> None:
    group = f"site_oslo,!{OSLO[0]},!{OSLO[1]}"
    before = dozen.look(OSLO)
    others = dozen.look(KIEL)
    rehearsed = dozen.json("rollback", group, "--dry-run")
    assert rehearsed["exit_code"] == 0
    assert stands(dozen.look(OSLO)) == stands(before)
    done = dozen.json("rollback", group, "--yes", "--reason", "a bad smell")
    assert [(one["name"], one["ok"]) for one in done["data"]["devices"]] == [
        (OSLO[2], True),
        (OF_ANOTHER, True),
    ]
    after = dozen.look(OSLO)
    assert labels(after) == {**labels(before), OSLO[2]: FIRST, OF_ANOTHER: ANOTHER}
    assert stands(after, but=OSLO[2:]) == stands(before, but=OSLO[2:])
    assert stands(dozen.look(KIEL)) == stands(others)
