"""A device without a battery boots in 1970 and jumps by decades once it finds a time server: no matter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.agent.trial_steps import code, commit_one
from thorctl.agent.clock import as_seconds
from thorctl.agent.journal import COMMITTED, TRIAL

if TYPE_CHECKING:
    from tests.agent.stateful_device import Device

DECADES = 30 * 365 * 86400.0
JUMPS = pytest.mark.parametrize("seconds", [DECADES, -DECADES])


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


def test_recover_asks_nothing_of_a_systemd_that_does_not_answer(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.done("activate", device.release(1).id)
    monkeypatch.setattr(device.systemd, "fails", {"show"})
    assert code(device.say("recover")) == ("internal", 1)
    assert device.journal().state == TRIAL
