"""The deadline of a trial: a timer of systemd on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.trial_steps import commit_one
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from tests.support.stateful_device import Device


def test_activation_sets_the_timer_to_the_length_of_the_trial(device: Device) -> None:
    commit_one(device, 1)
    device.done("activate", device.release(2).id, "--deadline", "900")
    (timer,) = device.systemd.timers
    assert device.systemd.seconds_of(timer) == 900


def test_trial_without_a_commit_is_rolled_back_at_its_deadline(device: Device) -> None:
    old = commit_one(device, 1)
    device.done("activate", device.release(2).id, "--deadline", "900")
    device.fire_timers()
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)


def test_timer_of_an_ended_trial_is_no_event(device: Device) -> None:
    commit_one(device, 1)
    device.done("activate", device.release(2).id)
    stale = next(iter(device.systemd.timers.values()))
    device.done("rollback")
    before = device.paths.events.read_text()
    assert not device.say(*stale).changed
    assert device.paths.events.read_text() == before
