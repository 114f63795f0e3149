"""Rollbacks that fail, that start on a full disk, or that return to what does not start."""

from __future__ import annotations

import errno
import socket
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.trial_steps import code, commit_one
from thorctl.agent.core.files import Files
from thorctl.agent.engine import cache, endpoint
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.state.deadline import AGAIN_SECONDS
from thorctl.protocol.states import COMMITTED, EMPTY, ROLLING_BACK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stateful_device import Device


@pytest.fixture
def _engine_answers_on_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of layout 2 as well: the double has no socket."""
    monkeypatch.setattr(
        endpoint, "dial", lambda _, of: partial(socket.create_connection, (endpoint.HOST, of.port))
    )


def armed_for(device: Device, timer: str) -> str:
    words = device.systemd.armed[timer]
    return words[words.index("--on-active") + 1]


def test_a_way_back_that_fails_is_tried_again_within_a_minute_or_two(device: Device) -> None:
    """Not only when the trial's own deadline comes, which may be hours away."""
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.systemd.fails = {"stop"}
    assert device.say("rollback").error is not None
    assert device.journal().state == ROLLING_BACK
    timer = f"thor-rolling-back-{device.journal().activation}"
    assert armed_for(device, timer) == f"{AGAIN_SECONDS}s"
    device.systemd.fails = set()
    assert device.done(*device.systemd.timers[timer])["release"] == old.id
    assert device.systemd.running_release() == old.id


def test_a_rollback_goes_on_though_systemd_takes_no_timer(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    run = device.systemd.run

    def refuse(argv: Any, **rest: Any) -> Any:
        done = run(argv, **rest)
        return done if argv[0] != "systemd-run" else type(done)(tuple(argv), 1, "", "Access denied")

    monkeypatch.setattr(device.systemd, "run", refuse)
    device.done("rollback")
    assert device.systemd.running_release() == old.id


def test_a_rollback_to_what_does_not_start_says_what_else_is_possible(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.systemd.broken = {old.id}  # its image was deleted by hand, say
    outcome = device.say("rollback")
    assert code(outcome) == ("engine_died", 1)
    assert (outcome.json["state"], outcome.json["release"], outcome.json["from"]) == (
        COMMITTED,
        old.id,
        new.id,
    )
    assert outcome.json["also_possible"] == [{"release": new.id, "command": f"thor-agent activate {new.id}"}]


def test_a_full_disk_below_the_unit_alone_does_not_keep_a_device_from_going_back(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/etc and /var/lib/thor may lie on two disks."""
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    write, paths = Files.write, device.paths

    def refuse(self: Files, path: Path, *rest: Any) -> None:
        if path.is_relative_to(paths.at("/etc")) and paths.unit_reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(self, path, *rest)

    monkeypatch.setattr(Files, "write", refuse)
    device.done("rollback")
    assert device.systemd.running_release() == old.id


@pytest.mark.usefixtures("_engine_answers_on_its_port")
@pytest.mark.parametrize("scarce", ["f_bfree", "f_ffree"])
@pytest.mark.parametrize("filler", ["left", "own"])
def test_a_disk_that_an_engine_filled_has_room_for_the_release_before(
    device: Device, monkeypatch: pytest.MonkeyPatch, scarce: str, filler: str
) -> None:
    """By blocks or by inodes, in its cache; the release before has the same cache if only options differ."""
    old, new, other = (device.release(number, SOCKET_LAYOUT) for number in (1, 2, 3))
    device.done("activate", old.id)
    device.smoke_passed(old)
    device.done("commit")
    device.done("activate", new.id)
    ctx = device.context("rollback")
    places = {"own": old, "left": new, "other": other}
    caches = {name: cache.directory(ctx, one) for name, one in places.items()}
    for place in caches.values():
        place.mkdir(parents=True)
    full = {"f_bfree": 2**30, "f_files": 10**6, "f_ffree": 10**6, "f_frsize": 4096}

    def statvfs(_: Path) -> SimpleNamespace:
        return SimpleNamespace(**{**full, scarce: 0} if caches[filler].exists() else full)

    monkeypatch.setattr(cache, "os", SimpleNamespace(statvfs=statvfs))
    device.fire_timers()
    assert device.systemd.running_release() == old.id
    assert not caches[filler].exists()
    assert caches["own"].exists() is (filler == "left")


@pytest.mark.usefixtures("_engine_answers_on_its_port")
def test_a_rollback_removes_no_cache_where_there_is_room(device: Device) -> None:
    commit_one(device, 1)
    new = device.release(2, SOCKET_LAYOUT)
    device.done("activate", new.id)
    place = cache.directory(device.context("rollback"), new)
    place.mkdir(parents=True)
    device.done("rollback")
    assert place.exists()


def test_a_rollback_of_the_first_release_arms_and_disarms(device: Device) -> None:
    device.done("activate", device.release(1).id)
    device.done("rollback")
    assert device.journal().state == EMPTY
    assert device.systemd.timers == {}
