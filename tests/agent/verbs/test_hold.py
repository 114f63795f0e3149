"""The device's own veto: it delays an activation and nothing else; passed over only by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.trial_steps import code, commit_one
from thorctl.protocol.states import TRIAL

if TYPE_CHECKING:
    from tests.support.stateful_device import Device


def test_a_hold_is_set_replaced_and_cleared(device: Device) -> None:
    first = device.done("hold", "on patrol")["hold"]
    assert first["reason"] == "on patrol"
    device.clock.skip(60)
    assert device.done("hold", "set", "charging")["hold"] == {**first, "reason": "charging"}
    assert not device.say("hold", "set", "charging").changed
    assert device.say("hold", "clear").changed
    assert not device.say("hold", "clear").changed
    assert device.done("hold", "show") == {"hold": None}


@pytest.mark.parametrize("words", [("claer",), ("",), ("set",), ("on patrol", "today")])
def test_a_mistyped_word_is_no_hold(device: Device, words: tuple[str, ...]) -> None:
    device.done("hold", "set", "on patrol")
    assert code(device.say("hold", *words)) == ("bad_call", 2)
    assert device.done("hold", "show")["hold"]["reason"] == "on patrol"


def test_an_activation_waits_for_a_hold_to_end(device: Device) -> None:
    release = device.release(1)
    device.done("hold", "set", "on patrol")
    device.clock.at(20, device.paths.hold_json.unlink)
    device.done("activate", release.id, "--wait-hold", "60")
    assert 20 <= device.clock.slept <= 25


def test_it_waits_no_longer_than_it_was_told_and_keeps_nobody_waiting(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.done("rollback")
    device.done("hold", "set", "on patrol")
    answers = []
    device.clock.at(20, lambda: answers.append(device.say("activate", old.id)))  # takes and needs the lock
    outcome = device.say("activate", new.id, "--wait-hold", "60")
    assert code(outcome) == ("held", 3)
    assert 60 <= device.clock.slept <= 65
    assert [one.error for one in answers] == [None]
    assert device.systemd.running_release() == old.id


def test_a_hold_is_passed_over_by_name_and_that_is_recorded(device: Device) -> None:
    release = device.release(1)
    device.done("hold", "set", "on patrol")
    refused = device.say("activate", release.id, "--over-hold", "charging", "--wait-hold", "3")
    assert code(refused) == ("held", 3)
    assert refused.error is not None
    assert "--over-hold 'on patrol'" in refused.error.remedy
    device.paths.events.unlink()
    device.done(
        "--holder", "ann@desk", "activate", release.id, "--over-hold", "on patrol", "--wait-hold", "3"
    )
    assert device.journal().state == TRIAL
    assert device.done("hold", "show")["hold"]["reason"] == "on patrol"  # it still holds, for the next one
    begin = json.loads(device.paths.events.read_text().splitlines()[0])
    assert (begin["holder"], begin["arguments"]["over_hold"]) == ("ann@desk", "on patrol")


def test_a_hold_that_ended_meanwhile_needs_no_passing_over(device: Device) -> None:
    device.done("activate", device.release(1).id, "--over-hold", "on patrol")


def test_staging_the_way_back_and_the_lease_go_on_under_a_hold(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.done("hold", "set", "on patrol")
    device.done("lease", "take")
    device.smoke_passed(new)
    device.done("commit")  # changes nothing that runs
    device.done("gc")
    device.done("rollback")
    assert device.systemd.running_release() == old.id
