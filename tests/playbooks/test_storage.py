"""Data on a second disk: what is refused, and a move that is complete or without effect at any moment."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host
from tests.playbooks.load_plugin import load
from thorctl.agent.core import storage as agent_storage

if TYPE_CHECKING:
    from pathlib import Path

storage = load("modules", "thor_storage")
GB = 1_000_000_000
DISK = storage.Disk("/mnt/nvme", "ext4", "nofail", "", None, 500 * GB, moving=False)
EMPTY = storage.Directory(unit=False, mounted=False, content=False, copy="none", size=0)
FULL = replace(EMPTY, content=True, size=40 * GB)
COPIED = replace(FULL, copy="whole")
IN_USE = replace(COPIED, unit=True, mounted=True, size=0)


def plan(*found: Any, move: bool = False, **disk: Any) -> dict[str, str]:
    by_name = dict(zip(storage.NAMES, found, strict=False))
    steps: dict[str, str] = storage.plan("/mnt/nvme", replace(DISK, **disk), by_name, move=move)
    return steps


def test_the_agent_looks_for_the_same_unit_and_mark() -> None:
    assert str(storage.UNITS / "var-lib-thor.mount") == agent_storage.MOUNT_UNIT
    assert storage.MARK == agent_storage.MARK


def test_each_directory_goes_its_own_way() -> None:
    assert plan(IN_USE, IN_USE, IN_USE) == {}
    assert plan(EMPTY, EMPTY, EMPTY) == {"thor": "copy", "containerd": "copy", "docker": "copy"}
    assert plan(IN_USE, replace(IN_USE, mounted=False), FULL, move=True) == {
        "containerd": "mount",
        "docker": "copy",
    }


def test_a_disk_that_an_earlier_installation_used_is_used_again() -> None:
    assert plan(replace(EMPTY, copy="whole")) == {"thor": "use"}


def test_a_copy_of_an_interrupted_move_is_outdated() -> None:
    assert plan(COPIED, move=True, moving=True) == {"thor": "copy"}


@pytest.mark.parametrize(
    ("found", "disk", "code"),
    [
        (FULL, {}, "storage_in_use: /var/lib/thor has data"),
        (COPIED, {}, "storage_occupied"),
        (COPIED, {"moving": True}, "storage_in_use"),
        (replace(FULL, copy="other"), {"moving": True}, "storage_occupied"),
        (replace(EMPTY, copy="other"), {}, "storage_occupied"),
        (replace(IN_USE, copy="none"), {}, "storage_data_missing"),
        (EMPTY, {"mount": "/"}, "storage_not_mounted"),
        (EMPTY, {"filesystem": "overlayfs"}, "storage_filesystem: Docker's data do not last on overlayfs"),
        (EMPTY, {"options": "nosuid"}, "storage_options: /mnt/nvme is mounted with nosuid"),
        (EMPTY, {"boot": "never"}, "storage_not_in_fstab"),
        (EMPTY, {"boot": "required"}, "storage_stops_boot"),
        (EMPTY, {"writable": "/mnt"}, "storage_writable"),
    ],
)
def test_a_refusal_names_a_remedy(found: Any, disk: dict[str, Any], code: str) -> None:
    with pytest.raises(host.HostError) as caught:
        plan(found, **disk)
    assert str(caught.value).startswith(code)
    assert " — " in str(caught.value)


def test_room_is_counted_for_all_copies() -> None:
    with pytest.raises(host.HostError, match=r"disk_too_small: /mnt/nvme has 82.0 GB free, and 80.0 GB"):
        plan(FULL, FULL, move=True, free=82 * GB)
    assert len(plan(FULL, FULL, move=True, free=85 * GB)) == 2


@pytest.mark.parametrize(
    ("said", "stops"),
    [
        ({"info": "false", "ps": "postgres\nthor-engine\n"}, ""),
        ({"info": "true", "ps": "thor-engine\nthor-keep-1\n"}, ""),
        ({"info": "true", "ps": "postgres\n"}, "storage_live_restore: postgres would run on"),
        ({"status": '{"data": {"state": "trial"}}'}, "storage_busy: the device is in state trial"),
        ({"status": '{"data": {}}'}, ""),
    ],
)
def test_nothing_moves_under_a_trial_or_a_container_that_runs_on(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], stops: str
) -> None:
    monkeypatch.setattr(
        host, "run", lambda *words: subprocess.CompletedProcess(words, 0, said.get(words[1], ""), "")
    )
    if not stops:
        storage.require_still()
        return
    with pytest.raises(host.HostError, match=stops):
        storage.require_still()


class Device:
    """The script of a move, run for real on directories; systemctl writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self.parent, self.disk = folder / "var-lib", folder / "disk"
        self.units, self.calls, self.bin = folder / "units", folder / "calls", folder / "bin"
        for place in (self.parent / "docker", self.disk, self.units, self.bin):
            place.mkdir(parents=True)
        (self.parent / "docker" / "layer").write_text("bytes")
        (self.parent / "docker" / "swapfile").write_text("not copied")
        self.tool("systemctl", f'echo "$*" >>{self.calls}')
        self.tool("mountpoint", "exit 1")
        self.tool("timeout", "exit 0")

    def tool(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def move(self) -> int:
        """The exit code; 137 where a tool killed the script, as a power cut does."""
        text = storage.script(self.disk, {"docker": "copy"}).replace("/run/thor/private", "/nowhere")
        path = f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(["sh", "-c", text], check=False, env={"PATH": path}).returncode

    @property
    def unit(self) -> Path:
        return self.units / "var-lib-docker.mount"

    def check_whole(self) -> None:
        """In use is either the old place, or a whole copy."""
        assert (self.parent / "docker" / "layer").read_text() == "bytes"
        if self.unit.exists():
            assert self.unit.read_text() == storage.mount_unit(self.disk, "docker")
            assert (self.disk / "docker" / "layer").read_text() == "bytes"
            assert (self.disk / "docker" / storage.MARK).exists()


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(tmp_path)
    monkeypatch.setattr(storage, "PARENT", made.parent)
    monkeypatch.setattr(storage, "UNITS", made.units)
    return made


def test_a_move_copies_then_switches_then_starts(device: Device) -> None:
    assert device.move() == 0
    device.check_whole()
    assert sorted(path.name for path in device.disk.iterdir()) == ["docker"]
    assert sorted(path.name for path in (device.disk / "docker").iterdir()) == [storage.MARK, "layer"]
    calls = [line for line in device.calls.read_text().splitlines() if "is-active" not in line]
    services = "containerd.service docker.socket docker.service var-lib-thor-cache.mount"
    assert calls == [
        f"stop thor-engine.service {services} var-lib-thor-*.mount var-lib-thor-*.swap",
        "daemon-reload",
        "start var-lib-docker.mount",
        f"start {services}",
        "start --no-block thor-engine.service",
    ]


@pytest.mark.parametrize("tool", ["cp", "sync", "mv", "rm", "touch", "mkdir"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_move_that_ends_anywhere_leaves_whole_data_and_can_be_repeated(
    device: Device, tool: str, nth: int, power_cut: bool
) -> None:
    count = device.bin.parent / "count"
    device.tool(
        tool,
        f'echo >>{count}; if [ "$(wc -l <{count})" -eq {nth} ]; then '
        + ("kill -9 $PPID; sleep 1" if power_cut else "exit 1")
        + f'; fi; PATH=/usr/bin:/bin exec {tool} "$@"',
    )
    device.move()
    device.check_whole()
    if not power_cut:
        assert "start containerd.service" in device.calls.read_text()
    (device.bin / tool).unlink()
    if not device.unit.exists():
        (device.parent / "docker" / "layer").write_text("bytes")
        assert device.move() == 0
        device.check_whole()
        assert device.unit.exists()
