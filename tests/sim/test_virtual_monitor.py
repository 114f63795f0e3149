"""QEMU's monitor, against a double that speaks its protocol: answers, events in between, refusals."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.errors import ThorError
from thorctl.sim.virtual_monitor import DiskWork, connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}
DRIVES = [{"device": "disk", "stats": {"wr_operations": 7, "flush_operations": 2}}]


@contextmanager
def qemu(place: Path, answers: dict[str, list[Any]]) -> Iterator[list[dict[str, Any]]]:
    """Answers each command with the next of its answers; yields what it was told."""
    told: list[dict[str, Any]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(place))
    server.listen()

    def serve() -> None:
        line, _ = server.accept()
        with line, line.makefile("rwb") as stream:
            said: list[dict[str, Any]] = [{"QMP": {"version": {}, "capabilities": []}}]
            while True:
                stream.write(b"".join(json.dumps(one).encode() + b"\r\n" for one in said))
                stream.flush()
                asked = stream.readline()
                if not asked:
                    return
                told.append(json.loads(asked))
                left = answers.get(told[-1]["execute"], [])
                said = [EVENT, left.pop(0) if left else {"return": {}}]

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.close()


def test_the_work_of_the_disk_is_read_between_events(tmp_path: Path) -> None:
    answers = {"query-blockstats": [{"return": DRIVES}]}
    with qemu(tmp_path / "m", answers), connected(tmp_path / "m", "thor-vm-01") as monitor:
        work = monitor.disk_work()
    assert work == DiskWork(writes=7, flushes=2)
    assert work.operations == 9


def test_saving_waits_until_all_is_written(tmp_path: Path) -> None:
    states = [{"return": {"status": state}} for state in ("setup", "active", "completed")]
    with qemu(tmp_path / "m", {"query-migrate": states}) as told:
        with connected(tmp_path / "m", "thor-vm-01") as monitor:
            monitor.save_memory(tmp_path / "a memory")
        commands = [one["execute"] for one in told]
        assert commands.count("query-migrate") == 3
        (migrate,) = (one for one in told if one["execute"] == "migrate")
        assert migrate["arguments"]["uri"] == f"exec:cat > '{tmp_path}/a memory'"


@pytest.mark.parametrize(
    "answers",
    [
        {"query-migrate": [{"return": {"status": "failed"}}]},
        {"migrate": [{"error": {"class": "GenericError", "desc": "State blocked by a device"}}]},
    ],
)
def test_what_could_not_be_saved_is_an_error(tmp_path: Path, answers: dict[str, list[Any]]) -> None:
    with (
        qemu(tmp_path / "m", answers),
        connected(tmp_path / "m", "thor-vm-01") as monitor,
        pytest.raises(ThorError) as caught,
    ):
        monitor.save_memory(tmp_path / "memory")
    assert caught.value.code == "sim_vm_monitor"


def test_a_machine_without_a_monitor_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThorError) as caught, connected(tmp_path / "m", "thor-vm-01"):
        raise AssertionError
    assert caught.value.device == "thor-vm-01"
