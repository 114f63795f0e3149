"""What stays of every verb: who, from where, which release, how it ended; in events.jsonl and the syslog."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stateful_device import Device
from tests.support.trial_steps import commit_one
from thorctl.agent.core import events, syslog
from thorctl.agent.core.holder import holder_from
from thorctl.agent.core.login import remote_address
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.verbs import commit

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN = "10.0.0.7 5022 10.0.0.9 22"


def told(device: Device) -> list[dict[str, Any]]:
    return [json.loads(line) for line in device.paths.events.read_text().splitlines()]


@pytest.fixture
def logged() -> Iterator[Device]:
    """A device whose root has a short name: a socket's path holds 107 characters."""
    with tempfile.TemporaryDirectory() as root:
        device = Device(Path(root))
        yield device
        device.close()


@pytest.fixture
def log(logged: Device) -> Iterator[socket.socket]:
    """Its /dev/log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        logged.paths.syslog.parent.mkdir()
        reader.bind(os.fspath(logged.paths.syslog))
        reader.setblocking(False)
        yield reader


def lines(log: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(log.recv(65536).decode())
    except BlockingIOError:
        return found


def test_begin_and_end_of_a_good_and_a_bad_verb(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.systemd.broken.add(new.id)
    device.paths.events.unlink()
    device.say("--holder", "ann@desk", "activate", new.id)
    device.done("--holder", "ann@desk", "lease", "take", "--reason", "a look")
    begin, end, *lease = told(device)
    who = {"verb": "activate", "holder": "ann@desk", "host": "here", "pid": os.getpid()}
    assert begin.items() >= {**who, "what": "begin", "release": new.id}.items()
    result = {
        "result": "failed",
        "error": "engine_died",
        "changed": True,
        "release": old.id,
        "state": "committed",
    }
    assert end.items() >= {**who, "what": "end", **result}.items()
    assert "no weights" in end["message"]
    assert [one["arguments"] for one in lease if one["what"] == "begin"] == [
        {"action": "take", "reason": "a look", "ttl": 3600}
    ]
    assert [(one["what"], one.get("result")) for one in lease] == [("begin", None), ("end", "done")]


@pytest.mark.parametrize("raised", [Interrupted("SIGTERM"), ValueError("a bug")])
def test_a_verb_that_is_stopped_or_has_a_bug_has_an_end_too(
    device: Device, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def fails(*_: object) -> None:
        raise raised

    monkeypatch.setattr(commit, "load_journal", fails)
    outcome = device.say("commit")
    assert outcome.error is not None
    assert outcome.exit_code == (143 if isinstance(raised, Interrupted) else 1)
    assert [(one["what"], one.get("error")) for one in told(device)] == [("begin", None), ("end", "internal")]


def test_looking_leaves_no_event(device: Device) -> None:
    for words in (("status",), ("lease", "show"), ("hold", "show")):
        device.done(*words)
    assert not device.paths.events.exists()


def test_the_address_is_the_connection_s_whatever_the_name_claims() -> None:
    claimed = holder_from("ann@desk", {"SSH_CONNECTION": LOGIN})
    assert (claimed.name, claimed.host, claimed.address) == ("ann@desk", "desk", "10.0.0.7")
    assert holder_from("ann@desk", {}).address is None
    assert holder_from(None, {"SSH_CONNECTION": LOGIN, "USER": "thor"}).address == "10.0.0.7"


CGROUP = "1:cpu:/user.slice\n0::/docker/8aee/user.slice/user-1000.slice/session-155.scope\n"
SESSION = "# This is private data. Do not parse.\nUID=1000\nREMOTE=1\nREMOTE_HOST=10.213.64.1\nSERVICE=sshd\n"


def logged_in(device: Device, cgroup: str = CGROUP, session: str = SESSION) -> str | None:
    for path, text in {"/proc/self/cgroup": cgroup, "/run/systemd/sessions/155": session}.items():
        place = device.paths.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return remote_address(device.paths)


def test_address_through_sudo_is_the_login_sessions(device: Device) -> None:
    """sudo drops SSH_CONNECTION; the cgroup stays, for Ansible's detached verbs, too."""
    address = logged_in(device)
    assert address == "10.213.64.1"
    holder = holder_from("ann@desk", {"SUDO_USER": "thor"}, address)
    assert (holder.name, holder.address) == ("ann@desk", "10.213.64.1")
    assert holder_from(None, {"SUDO_USER": "thor"}, address).name == "thor@10.213.64.1"
    assert holder_from("ann@desk", {"SSH_CONNECTION": "6.6.6.6 1 2 3"}, address).address == "10.213.64.1"


@pytest.mark.parametrize(
    ("cgroup", "session"),
    [
        ("0::/system.slice/thor-deadline.service\n", SESSION),
        (CGROUP, "UID=1000\nREMOTE=0\n"),
        (CGROUP, "REMOTE_HOST=\x1b[31m\n"),
        ("0::/user.slice/user-1000.slice/session-../../etc/passwd.scope\n", SESSION),
        ("0::/user.slice/user-1000.slice/user@1000.service/session-155.scope\n", SESSION),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/user-0.slice/session-155.scope\n",
            SESSION,
        ),
    ],
)
def test_address_without_a_remote_login_is_none(device: Device, cgroup: str, session: str) -> None:
    assert logged_in(device, cgroup, session) is None


def test_syslog_has_the_same_and_who_was_refused(logged: Device, log: socket.socket) -> None:
    logged.done("--holder", "ann@desk", "lease", "take", "--reason", "two\nlines")
    logged.say("--holder", "bob@desk", "gc")
    found = lines(log)
    heads = [line.partition(": ")[0] for line in found]
    pid = f"thor-agent[{os.getpid()}]"
    assert heads == [f"<29>{pid}", f"<29>{pid}", f"<28>{pid}"]  # daemon.notice, daemon.warning
    begin, end, refused = (json.loads(line.partition(": ")[2]) for line in found)
    assert (begin["what"], begin["verb"], begin["holder"]) == ("begin", "lease", "ann@desk")
    assert begin["arguments"]["reason"] == "two\nlines"
    assert (end["what"], end["result"]) == ("end", "done")
    assert (refused["what"], refused["holder"], refused["error"]) == ("refused", "bob@desk", "leased")
    assert [one["what"] for one in told(logged)] == ["begin", "end"]  # the file is not filled by who waits


def test_a_syslog_that_nobody_reads_or_that_is_gone_stops_no_verb(logged: Device, log: socket.socket) -> None:
    for _ in range(2000):  # far beyond what a socket of this kernel queues
        syslog.send(logged.paths.syslog, "x" * 500)
    logged.done("gc")
    assert told(logged)
    log.close()
    logged.done("gc")
    logged.paths.syslog.unlink()
    logged.done("gc")
    logged.paths.syslog.write_text("not a socket")
    logged.done("hold", "set", "r" * 300_000)  # longer than any datagram


def test_events_that_cannot_be_written_stop_no_verb(device: Device) -> None:
    device.paths.events.mkdir(parents=True)
    release = device.release(1)
    device.done("activate", release.id)
    device.done("rollback")


def test_half_a_line_of_a_power_cut_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"number": 1}\n{"numb')
    events.append(path, {"number": 2})
    events.append(path, {"number": 3})
    assert path.read_text().splitlines()[2:] == ['{"number": 2}', '{"number": 3}']
