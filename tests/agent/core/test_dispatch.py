"""Leases, holds, locks and the one JSON object: what surrounds every verb."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device
from thorctl.agent.core import events
from thorctl.agent.core.dispatch import load
from thorctl.agent.core.holder import holder_from
from thorctl.agent.core.locking import locked
from thorctl.agent.core.outcome import AgentError
from thorctl.protocol.owner import owner_of
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = "10.0.0.7 5022 10.0.0.9 22"


def test_every_verb_can_be_loaded() -> None:
    for verb in VERBS.values():
        assert callable(load(verb))


def test_lease(device: Device) -> None:
    assert device.done("lease", "show") == {"lease": None}
    taken = device.done("--holder", "ann@desk", "lease", "take", "--reason", "rollout 7", "--ttl", "60")[
        "lease"
    ]
    assert (taken["holder"], taken["host"], taken["reason"]) == ("ann@desk", "here", "rollout 7")
    for words in (("lease", "take"), ("lease", "give"), ("stage", "--release", "/nowhere"), ("gc",)):
        outcome = device.say("--holder", "bob@desk", *words)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.exit_code) == ("leased", 3)
        assert "ann@desk" in str(outcome.error)
    device.done("--holder", "bob@desk", "status")
    device.done("--holder", "ann@desk", "gc")
    device.clock.skip(61)
    assert device.done("lease", "show") == {"lease": None}
    device.done("--holder", "bob@desk", "gc")


def test_a_lease_is_renewed_given_and_taken_by_force(device: Device) -> None:
    device.done("--holder", "ann@desk", "lease", "take", "--ttl", "60")
    assert device.say("--holder", "ann@desk", "lease", "take", "--ttl", "600").changed
    device.clock.skip(100)
    assert device.done("lease", "show")["lease"]["holder"] == "ann@desk"
    device.done("--holder", "bob@desk", "lease", "take", "--force")
    assert device.done("lease", "show")["lease"]["holder"] == "bob@desk"
    assert device.say("--holder", "bob@desk", "lease", "give").changed
    assert not device.say("--holder", "bob@desk", "lease", "give").changed


def test_an_unreadable_lease_or_hold_refuses(device: Device) -> None:
    release = device.release(1)
    device.paths.hold_json.write_text("patrol")
    held = device.say("activate", release.id)
    assert held.error is not None
    assert held.error.code == "held"
    device.done("hold", "clear")
    device.paths.lease_json.write_text("{}")
    leased = device.say("activate", release.id)
    assert leased.error is not None
    assert leased.error.code == "leased"
    assert "None" not in leased.error.message
    assert "thorctl lease give DEVICE --force" in leased.error.remedy
    device.done("lease", "take", "--force")
    device.done("activate", release.id)


@pytest.mark.parametrize(
    "words",
    [["lease", "take", "--ttl", "0"], ["hold", "set"], ["activate", "x-0123456789ab", "--deadline", "0"]],
)
def test_bad_calls(device: Device, words: list[str]) -> None:
    outcome = device.say(*words)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.exit_code) == ("bad_call", 2)


def test_busy_says_with_what(device: Device) -> None:
    release = device.release(1)
    ctx = device.context("x")
    owner = {"verb": "smoke", "holder": "ann@desk", "pid": 7, "since": "2026-11-23T12:00:00Z"}
    with locked(device.paths.locks / "lock", device.clock, owner):
        outcome = device.say("activate", release.id)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.exit_code) == ("busy", 3)
        assert outcome.error.details == owner
        device.done("status")
        # Whoever holds the lock is at work: the engine's start, which requires recover, must not fail for it.
        assert device.done("recover")["did"] == "nothing"
    device.done("activate", release.id)
    assert ctx.paths.run_dir.exists()


def test_a_rollback_does_not_wait_for_a_download(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    with locked(device.paths.locks / "stage.lock", device.clock, {"verb": "stage"}):
        device.done("rollback")
        outcome = device.say("gc")
        assert outcome.error is not None
        assert outcome.error.code == "busy"


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.close()
    path = device.paths.locks / "lock"
    path.parent.mkdir(parents=True)
    script = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)\n"
        "print(1, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(AgentError, match="busy"), locked(path, device.clock, {}):
            pass
        process.kill()
    with locked(path, device.clock, {}):
        descriptor = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_events_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SIZE_CAP_BYTES", 200)
    for number in range(50):
        events.append(tmp_path / "events.jsonl", {"number": number})
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["events.jsonl", "events.jsonl.1"]
    assert all(file.stat().st_size <= 200 for file in files)
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1]) == {"number": 49}


@pytest.mark.parametrize(
    ("named", "environment", "name"),
    [
        ("ann@desk", {}, "ann@desk"),
        (None, {"SSH_CONNECTION": "10.0.0.7 5 10.0.0.9 22", "USER": "thor"}, "thor@10.0.0.7"),
        (
            None,
            {"SSH_CONNECTION": "10.0.0.7 5 10.0.0.9 22", "USER": "root", "SUDO_USER": "ann"},
            "ann@10.0.0.7",
        ),
    ],
)
def test_holder(named: str | None, environment: dict[str, str], name: str) -> None:
    assert holder_from(named, environment).name == name


def test_holder_without_a_login_is_root_here() -> None:
    assert holder_from(None, {"USER": "someone"}).name == f"root@{os.uname().nodename}"


ROLLOUT = "ann@desk (rollout 20261125-1 5f3a90c1)"
SAME_ID = "ann@desk (rollout 20261125-1 00000000)"  # of another state folder


@pytest.mark.parametrize(
    ("mine", "others"), [(ROLLOUT, "ann@desk"), (ROLLOUT, SAME_ID), ("ann@desk", ROLLOUT)]
)
def test_a_lease_is_for_one_purpose(device: Device, mine: str, others: str) -> None:
    """Neither by hand nor by another rollout does its own operator change what a rollout holds."""
    release = device.release(1)
    reason = "rollout 20261125-1 (5f3a90c1)"
    taken = device.done("--holder", mine, "lease", "take", "--reason", reason)["lease"]
    assert str(owner_of(taken)) == mine
    for words in (("lease", "take"), ("lease", "give"), ("activate", release.id), ("rollback",), ("gc",)):
        outcome = device.say("--holder", others, *words)
        assert outcome.error is not None, words
        assert outcome.error.code == "leased"
        assert outcome.error.message.count("20261125-1") == 1
        assert "thorctl lease give DEVICE --force" in outcome.error.remedy
        assert ("thorctl rollout abort 20261125-1" in outcome.error.remedy) == (mine == ROLLOUT)
    device.done("--holder", mine, "activate", release.id)
    assert device.done("status")["activated_by"] == mine
    device.done("--holder", others, "lease", "take", "--force")
    gives = device.say("--holder", mine, "lease", "give")
    assert gives.error is not None
    assert gives.error.code == "leased"


def test_a_lease_of_an_earlier_agent_is_read(device: Device) -> None:
    """It compared one text: an earlier controller's is by hand, whatever its reason says."""
    for holder, mine, others in (("ann@desk", "ann@desk", ROLLOUT), (ROLLOUT, ROLLOUT, "ann@desk")):
        lease = {"holder": holder, "host": "desk", "reason": "rollout 20261125-1 (abc)", "taken_at": "t"}
        ends = {"expires_at": "t", "ends_since_boot": device.clock.since_boot() + 60}
        device.context("x").files.write_json(device.paths.lease_json, lease | ends)
        outcome = device.say("--holder", others, "lease", "give")
        assert outcome.error is not None
        assert outcome.error.code == "leased"
        device.done("--holder", mine, "lease", "give")
