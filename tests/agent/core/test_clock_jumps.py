"""A device without a battery boots in 1970 and jumps by decades once it finds a time server: no matter."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.trial_steps import code, commit_one
from thorctl.agent.core.clock import as_seconds
from thorctl.agent.staging import age
from thorctl.protocol.states import COMMITTED, TRIAL

if TYPE_CHECKING:
    from tests.support.stateful_device import Device

DECADES = 30 * 365 * 86400.0
YEARS = 10 * 365 * 86400.0
JUMPS = pytest.mark.parametrize("seconds", [DECADES, -DECADES, YEARS, -3600.0])


@JUMPS
def test_a_lease_lasts_as_long_as_it_was_to_last(device: Device, seconds: float) -> None:
    device.done("--holder", "ann@desk", "lease", "take", "--ttl", "600")
    device.clock.jump(seconds)
    lease = device.done("lease", "show")["lease"]
    left = as_seconds(lease["expires_at"]) - device.clock.now()
    assert 540 < left <= 601  # shown by the clock as it is now
    assert code(device.say("--holder", "bob@desk", "gc")) == ("leased", 3)
    device.clock.skip(601)
    assert device.done("lease", "show")["lease"] is None
    device.done("--holder", "bob@desk", "gc")


def test_a_lease_of_the_agent_before_this_one_ends_too(device: Device) -> None:
    device.done("--holder", "ann@desk", "lease", "take", "--ttl", "60")
    lease = json.loads(device.paths.lease_json.read_text())
    del lease["ends_since_boot"]
    device.paths.lease_json.write_text(json.dumps(lease))
    assert device.done("lease", "show")["lease"]["holder"] == "ann@desk"
    device.clock.skip(61)
    assert device.done("lease", "show")["lease"] is None


@JUMPS
def test_a_trial_lasts_as_long_as_its_timer(device: Device, seconds: float) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id, "--deadline", "900")
    device.clock.jump(seconds)
    assert device.done("recover")["did"] == "nothing"
    assert device.journal().state == TRIAL
    shown = as_seconds(device.done("status")["deadline"]) - device.clock.now()
    assert 800 < shown <= 901  # by the clock as it is now
    device.fire_timers()
    assert (device.journal().state, device.journal().current) == (COMMITTED, old.id)


@JUMPS
def test_a_smoke_counts_for_its_activation_whatever_the_clock_says(device: Device, seconds: float) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    device.smoke_passed(release)
    device.done("rollback")
    device.clock.jump(seconds)
    device.done("activate", release.id)
    assert code(device.say("commit")) == ("smoke_missing", 2)  # that smoke was of the activation before
    device.clock.jump(-seconds)
    device.smoke_passed(release)
    device.done("commit")


def test_a_smoke_from_before_a_broken_journal_counts_for_nothing(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.smoke_passed(new)
    device.paths.journal.write_text("{")
    device.done("recover", "--committed", old.id)
    for _ in range(2):  # as many activations as were counted before
        device.done("activate", new.id)
        assert code(device.say("commit")) == ("smoke_missing", 2)
        device.done("rollback")


def test_the_timer_counts_by_a_clock_that_never_jumps_and_tries_again(device: Device) -> None:
    device.done("activate", device.release(1).id, "--deadline", "900")
    argv = device.systemd.armed["thor-trial-1"]
    assert argv[argv.index("--on-active") + 1] == "900s"  # by the monotonic clock
    assert "Restart=on-failure" in argv
    assert not [word for word in argv if "calendar" in word]


@JUMPS
def test_the_release_staged_last_stays_whatever_the_clock_said(device: Device, seconds: float) -> None:
    before, last = device.release(1), device.release(2)
    for path in (device.paths.release_dir(last.id), device.paths.release_dir(last.id) / "release.json"):
        os.utime(path, (device.clock.now() + seconds,) * 2)
    device.clock.jump(seconds)
    device.done("gc", "--keep", "1")
    assert device.paths.release_dir(last.id).exists()
    assert not device.paths.release_dir(before.id).exists()


def test_a_release_staged_again_is_the_one_staged_last(device: Device) -> None:
    first, second = device.release(1), device.release(2)
    age.note_release(device.context("stage"), first.id)
    device.done("gc", "--keep", "1")
    assert device.paths.release_dir(first.id).exists()
    assert not device.paths.release_dir(second.id).exists()


@JUMPS
def test_a_download_s_age_is_the_time_it_was_left_alone(device: Device, seconds: float) -> None:
    device.release(1)
    download = device.paths.checkpoints / ".partial-a@1"
    (download / "deep").mkdir(parents=True)
    os.utime(download, (1, 1))
    age.note_download(device.context("stage"), "a@1")
    device.clock.jump(seconds)
    device.done("gc")
    assert download.exists()
    for _ in range(2):  # half a day in each of two boots; the hours in between are not counted
        device.clock.skip(12 * 3600 + 60)
        device.done("gc", "--dry-run")
        assert download.exists()
        device.done("gc")
        device.systemd.power_cut()
        device.clock.reboot()
        device.clock.jump(-seconds)
    assert not download.exists()


def test_an_unreadable_record_of_ages_deletes_nothing(device: Device) -> None:
    device.release(1)
    download = device.paths.checkpoints / ".partial-a@1"
    download.mkdir()
    for broken in ("{", "[]", '{"schema": 1, "downloads": 7, "releases": []}', '{"schema": 9}'):
        device.paths.staged_json.write_text(broken)
        device.done("gc", "--dry-run")
        assert download.exists()
    entries = [7, {}, {"boot": "x", "since_boot": 1.0, "idle_seconds": "x"}, {"idle_seconds": -9e9}]
    for entry in entries:
        device.paths.staged_json.write_text(json.dumps({"schema": 1, "downloads": {"a@1": entry}}))
        assert age.idle_seconds(device.context("gc"), ["a@1"], record=False) == {"a@1": 0.0}


def test_recover_asks_nothing_of_a_systemd_that_does_not_answer(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.done("activate", device.release(1).id)
    monkeypatch.setattr(device.systemd, "fails", {"show"})
    assert code(device.say("recover")) == ("internal", 1)
    assert device.journal().state == TRIAL
