"""A trial's deadline while a verb holds the lock: some verbs are evicted, changing ones are waited for."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Fuse, PowerCut
from tests.support.trial_steps import commit_one
from thorctl.agent.state import deadline
from thorctl.agent.state.deadline import GUARD_SECONDS
from thorctl.protocol.states import ACTIVATING, COMMITTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stateful_device import Device

HOLDER = """
import fcntl, json, os, signal, sys
if sys.argv[3] == "True":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
fcntl.flock(held, fcntl.LOCK_EX)
os.pwrite(held, json.dumps({"verb": sys.argv[2], "holder": "ann@desk", "pid": os.getpid()}).encode(), 0)
print(1, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def _real_time_for_processes(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let real time pass while the device's clock sleeps."""
    sleep = device.clock.sleep

    def both(seconds: float) -> None:
        time.sleep(0.01)
        sleep(seconds)

    monkeypatch.setattr(device.clock, "sleep", both)


@contextmanager
def at_work(
    device: Device, verb: str, *, ignores_sigterm: bool = False, place: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run another process that holds the device's lock."""
    lock = (place or device.paths.locks) / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", HOLDER, str(lock), verb, str(ignores_sigterm)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("verb", ["smoke", "bench", "activate"])
def test_evicted_verb_gets_sigterm(device: Device, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "KILL_SECONDS", float("inf"))
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    with at_work(device, verb) as process:
        device.fire_timers()
        assert process.wait(60) == -signal.SIGTERM
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)


def test_smoke_of_an_earlier_agent_gets_sigterm(device: Device) -> None:
    """The agent was updated meanwhile; the one at work holds its lock in /run/thor."""
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    with at_work(device, "smoke", place=device.paths.run_dir) as process:
        device.fire_timers()
        assert process.wait(60) == -signal.SIGTERM
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)


def test_verb_that_ignores_sigterm_is_killed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "KILL_SECONDS", 5.0)
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    with at_work(device, "bench", ignores_sigterm=True) as process:
        device.fire_timers()
        assert process.wait(60) == -signal.SIGKILL
    assert device.systemd.running_release() == old.id


@pytest.mark.parametrize("verb", ["commit", "rollback", "gc", "recover"])
def test_changing_verb_is_waited_for(device: Device, verb: str) -> None:
    commit_one(device, 1)
    device.done("activate", device.release(2).id)
    with at_work(device, verb) as process:
        device.clock.at(device.clock.slept + 30, lambda: process.communicate(b"\n"))
        device.fire_timers()
        assert process.returncode == 0


def test_process_with_the_recorded_pid_but_no_lock_is_not_signalled(device: Device) -> None:
    commit_one(device, 1)
    device.done("activate", device.release(2).id)
    with at_work(device, "commit") as process, subprocess.Popen(["sleep", "600"]) as stranger:
        lock = device.paths.locks / "lock"
        lock.write_text(f'{{"verb": "smoke", "holder": "ann@desk", "pid": {stranger.pid}}}')
        device.clock.at(device.clock.slept + 30, lambda: process.communicate(b"\n"))
        device.fire_timers()
        assert stranger.poll() is None
        stranger.kill()


def test_timer_of_an_earlier_activation_evicts_no_verb(device: Device) -> None:
    commit_one(device, 1)
    release = device.release(2)
    device.done("activate", release.id)
    stale = next(iter(device.systemd.timers.values()))
    device.done("rollback")
    device.done("activate", release.id)
    with at_work(device, "activate") as process:
        device.clock.at(device.clock.slept + 30, lambda: process.communicate(b"\n"))
        assert not device.say(*stale).changed
        assert process.returncode == 0


def test_killed_activation_is_rolled_back_as_soon_as_its_lock_is_free(device: Device) -> None:
    """The rollback starts when the lock is free, not when the guard's hour is over."""
    old, new = commit_one(device, 1), device.release(2)
    with suppress(PowerCut):
        device.say("activate", new.id, fuse=Fuse(20))
    assert device.journal().state == ACTIVATING
    (timer,) = device.systemd.timers
    assert device.systemd.seconds_of(timer) == GUARD_SECONDS
    with at_work(device, "activate") as process:
        began, longest = device.clock.slept, 60 + 600  # to get ready, and to switch
        device.clock.at(began + longest - 30, process.kill)
        device.fire_timers()
        assert process.wait(60) == -signal.SIGKILL
    assert began + longest - 30 <= device.clock.slept < began + longest
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)


def test_operators_rollback_evicts_no_verb(device: Device) -> None:
    commit_one(device, 1)
    device.done("activate", device.release(2).id)
    with at_work(device, "smoke") as process:
        outcome = device.say("rollback")
        assert outcome.error is not None
        assert outcome.error.code == "busy"
        assert process.poll() is None
