"""A first release that failed its smoke: kept for review, then accepted, rolled back or ended by its time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device, Fuse, PowerCut
from tests.support.trial_steps import code, commit_one
from thorctl.agent.state import deadline, journal
from thorctl.agent.verbs.review import MOST_SECONDS
from thorctl.protocol.states import COMMITTED, EMPTY, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.release.document import Release

WHY = "the sum is right, the prompt is not"


def failed_first(device: Device) -> Release:
    """The first release of the device, on trial, whose smoke failed."""
    release = device.release(1)
    device.done("activate", release.id, "--deadline", "600")
    smoke_failed(device, release)
    return release


def smoke_failed(device: Device, release: Release) -> None:
    device.smoke_passed(release)
    smoke = json.loads(device.paths.smoke_json.read_text())
    smoke |= {"passed": False, "failed_checks": ["known_answer"]}
    device.paths.smoke_json.write_text(json.dumps(smoke))


def timers(device: Device) -> list[str]:
    return sorted(device.systemd.timers)


def test_a_review_replaces_the_end_of_the_trial(device: Device) -> None:
    release = failed_first(device)
    data = device.done("review", release.id, "--seconds", "7200")
    assert (data["state"], data["release"]) == (TRIAL, release.id)
    assert timers(device) == ["thor-review-1"]
    assert device.systemd.seconds_of("thor-review-1") == 7200
    device.clock.skip(1200)
    status = device.done("status")
    assert 5990 <= status["review_seconds_left"] <= 6000
    assert status["last_smoke"]["failed_checks"] == ["known_answer"]


def test_time_that_is_left_does_not_follow_the_wall_clock(device: Device) -> None:
    failed_first(device)
    device.done("review", "--seconds", "7200")
    device.clock.jump(-50 * 365 * 86400)
    assert 7190 <= device.done("status")["review_seconds_left"] <= 7200


def test_a_second_review_extends_nothing(device: Device) -> None:
    failed_first(device)
    device.done("review", "--seconds", "7200")
    device.clock.skip(600)
    again = device.done("review", "--seconds", str(MOST_SECONDS))
    assert again["review_seconds_left"] <= 6600
    assert timers(device) == ["thor-review-1"]


def test_a_review_that_runs_out_ends_as_a_deadline_does(device: Device) -> None:
    release = failed_first(device)
    device.done("review", "--seconds", "7200")
    device.clock.skip(7200)
    device.fire_timers()
    found = device.journal()
    assert (found.state, found.left, found.reason, found.review) == (EMPTY, release.id, "deadline", None)
    assert device.systemd.running_release() is None
    assert code(device.say("commit", release.id, "--accept-failed-smoke", WHY)) == ("bad_state", 2)


def test_an_accepted_release_is_committed_with_the_reason_on_record(device: Device) -> None:
    release = failed_first(device)
    device.done("review", "--seconds", "7200")
    refused = device.say("commit", release.id)
    assert code(refused) == ("smoke_missing", 2)
    assert refused.error is not None
    for words in ("smoke DEVICE", "commit DEVICE --accept-failed-smoke REASON", "rollback DEVICE"):
        assert f"`thorctl {words}`" in refused.error.remedy
    data = device.done("commit", release.id, "--accept-failed-smoke", WHY)
    assert (data["accepted"]["reason"], data["accepted"]["by"]) == (WHY, "tester@here")
    assert device.journal().state == COMMITTED
    assert timers(device) == []
    assert device.done("status")["last_smoke"]["accepted"]["reason"] == WHY
    assert device.done("commit", release.id)["accepted"]["reason"] == WHY
    events = [json.loads(line) for line in device.paths.events.read_text().splitlines()]
    begun = [one for one in events if one["what"] == "begin" and one["verb"] == "commit"]
    assert begun[-2]["arguments"]["accept_failed_smoke"] == WHY


def test_a_failed_smoke_can_be_accepted_before_any_review(device: Device) -> None:
    failed_first(device)
    device.done("commit", "--accept-failed-smoke", WHY)
    assert device.journal().state == COMMITTED


def test_a_review_ended_by_hand_leaves_nothing(device: Device) -> None:
    release = failed_first(device)
    device.done("review", "--seconds", "7200")
    device.done("rollback", release.id)
    assert (device.journal().state, timers(device)) == (EMPTY, [])


def test_a_reboot_ends_a_review(device: Device) -> None:
    failed_first(device)
    device.done("review", "--seconds", "7200")
    device.systemd.power_cut()
    device.systemd.boot()
    assert device.done("recover")["did"] == "rolled_back"
    assert (device.journal().state, device.journal().reason) == (EMPTY, "reboot")


def test_recover_leaves_a_review_alone(device: Device) -> None:
    failed_first(device)
    device.done("review", "--seconds", "7200")
    assert device.done("recover")["did"] == "nothing"
    assert device.journal().state == TRIAL


def test_the_same_release_activated_again_keeps_its_review(device: Device) -> None:
    release = failed_first(device)
    device.done("review", "--seconds", "7200")
    assert device.done("activate", release.id)["state"] == TRIAL
    assert device.journal().review is not None


def test_with_a_release_to_go_back_to_there_is_neither_review_nor_acceptance(device: Device) -> None:
    commit_one(device, 1)
    new = device.release(2)
    device.done("activate", new.id)
    smoke_failed(device, new)
    assert code(device.say("review")) == ("bad_state", 2)
    assert code(device.say("commit", "--accept-failed-smoke", WHY)) == ("bad_state", 2)
    assert device.journal().state == TRIAL


def test_only_a_failed_smoke_of_this_activation_is_reviewed_or_accepted(device: Device) -> None:
    release = device.release(1)
    assert code(device.say("review")) == ("bad_state", 2)
    device.done("activate", release.id)
    assert code(device.say("review")) == ("bad_state", 2)
    assert code(device.say("commit", "--accept-failed-smoke", WHY)) == ("smoke_missing", 2)
    smoke_failed(device, release)
    smoke = json.loads(device.paths.smoke_json.read_text())
    device.paths.smoke_json.write_text(json.dumps({**smoke, "activation": 7}))
    assert code(device.say("review")) == ("bad_state", 2)
    assert code(device.say("commit", "--accept-failed-smoke", WHY)) == ("smoke_missing", 2)
    device.smoke_passed(release)
    assert code(device.say("review")) == ("bad_state", 2)
    assert device.done("commit", "--accept-failed-smoke", WHY)["accepted"] is None


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 301, "\x1b[31m"])
def test_a_reason_is_one_line_of_text(device: Device, reason: str) -> None:
    failed_first(device)
    assert code(device.say("commit", "--accept-failed-smoke", reason)) == ("bad_call", 2)
    assert device.journal().state == TRIAL


@pytest.mark.parametrize("seconds", ["0", "-1", str(MOST_SECONDS + 1)])
def test_a_review_is_bounded(device: Device, seconds: str) -> None:
    failed_first(device)
    assert code(device.say("review", "--seconds", seconds)) == ("bad_call", 2)
    assert timers(device) == ["thor-trial-1"]


def test_an_agent_killed_at_any_file_operation_keeps_what_the_journal_says(tmp_path: Path) -> None:
    """Killed, not rebooted: timers live on. Either the old end holds, or the new one alone does."""
    ends = set()
    for at in range(1, 40):
        device = Device(tmp_path / str(at))
        try:
            release = failed_first(device)
            try:
                device.say("review", "--seconds", "7200", fuse=Fuse(at))
                whole = True
            except PowerCut:
                whole = False
            kept = device.journal().review is not None
            device.clock.skip(600)
            if "thor-trial-1" in device.systemd.timers:
                device.say(*device.systemd.timers.pop("thor-trial-1"))
            assert (device.journal().state == TRIAL) is kept
            ends.add(kept)
            device.fire_timers()
            assert device.journal().state == EMPTY
            assert device.journal().left == release.id
        finally:
            device.close()
        if whole:
            break
    assert whole
    assert ends == {False, True}


def test_timers_mean_what_the_trial_is_kept_for() -> None:
    trial = journal.Journal(
        state=TRIAL, target="a-000000000001", deadline="2026-01-01T00:00:00Z", activation=3
    )
    kept = journal.begin_review(trial, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 99.0)
    assert deadline.timer_applies(trial, "trial:3")
    assert not deadline.timer_applies(trial, "review:3")
    assert deadline.timer_applies(kept, "review:3")
    assert not deadline.timer_applies(kept, "trial:3")


def test_a_journal_with_a_review_without_an_end_is_refused() -> None:
    trial = journal.Journal(state=TRIAL, target="a-000000000001", deadline="2026-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="a review without an end"):
        journal.from_document({**trial.document(), "review": "2026-01-01T00:00:00Z"})
