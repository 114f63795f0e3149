"""A local user without rights: no verb, and no end of a trial, is delayed by what they hold open."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device
from tests.support.trial_steps import commit_one
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

NOBODY = 65534
# Locks, for reading and for good, every file and directory of the device that it can open, and tells which.
ATTACKER = """
import fcntl, os, sys
held = []
for folder, _, files in os.walk(sys.argv[1]):
    for path in [folder, *(os.path.join(folder, one) for one in files)]:
        try:
            held.append((path, os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
            fcntl.flock(held[-1][1], fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pass
print(*(path for path, _ in held), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def device() -> Iterator[Device]:
    """One in a place that others may enter, as / is."""
    root = Path(tempfile.mkdtemp(prefix="device-"))
    root.chmod(0o755)
    one = Device(root)
    yield one
    one.close()
    shutil.rmtree(root)


@contextmanager
def attacked(device: Device) -> Iterator[list[str]]:
    """What a local user holds meanwhile."""
    assert os.geteuid() == 0, "only root can become another user"
    words = ["/usr/bin/python3", "-c", ATTACKER, str(device.paths.root)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()
        process.communicate()


def test_local_user_holds_all_it_can_commit_succeeds(device: Device) -> None:
    commit_one(device, 1)
    new = device.release(2)
    device.done("activate", new.id)
    device.smoke_passed(new)
    with attacked(device) as held:
        assert any("/run/thor" in path for path in held)  # it could walk there
        device.done("commit")
        device.done("gc")
        device.done("rollback")


def test_local_user_holds_all_it_can_deadline_passes(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    with attacked(device):
        device.fire_timers()
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)
    assert device.clock.slept < 60 + 3600


def test_lock_of_earlier_agent_held_by_local_user_is_not_busy(device: Device) -> None:
    """A killed agent left its number in the file; another process has that number now."""
    release = device.release(1)
    lock = device.paths.run_dir / "lock"
    with subprocess.Popen(["/usr/bin/sleep", "600"], stdin=lock_held(lock)) as stranger:
        lock.write_text(json.dumps({"verb": "smoke", "holder": "ann@desk", "pid": stranger.pid}))
        device.done("activate", release.id)
        stranger.kill()


def lock_held(path: Path) -> int:
    """A locked descriptor, for a process to inherit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_earlier_agent_at_work_is_busy(device: Device) -> None:
    release = device.release(1)
    lock = device.paths.run_dir / "lock"
    descriptor = lock_held(lock)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
    ) as agent:
        os.close(descriptor)
        lock.write_text(json.dumps({"verb": "stage", "holder": "ann@desk", "pid": agent.pid}))
        error = device.say("activate", release.id).error
        assert error is not None
        assert (error.code, error.details["holder"]) == ("busy", "ann@desk")
        agent.communicate(b"\n")
    device.done("activate", release.id)


def test_locks_are_roots_alone_whatever_made_their_directory(device: Device) -> None:
    device.paths.locks.mkdir(parents=True, mode=0o755)
    device.done("gc")
    assert device.paths.locks.stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in device.paths.locks.iterdir()} == {0o600}
