"""Another data-root for Docker: what is refused, and a move in the order that outlives a power cut."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host
from tests.playbooks.load_plugin import load

if TYPE_CHECKING:
    from pathlib import Path

root = load("modules", "thor_data_root")
OLD, NEW = "/var/lib/docker", "/mnt/nvme/docker"
GB = 1_000_000_000
EMPTY = root.Found(
    content=False,
    containerd=False,
    occupied=False,
    filesystem="ext4",
    on_root=False,
    is_mount=False,
    size=0,
    free=500 * GB,
)
FULL = replace(EMPTY, content=True, size=40 * GB)


def test_an_empty_docker_may_go_anywhere() -> None:
    assert root.judge(EMPTY, OLD, NEW, move=False, on_root=False) is False
    assert root.judge(replace(EMPTY, occupied=True), OLD, NEW, move=False, on_root=False) is False


def test_a_full_one_is_moved_if_asked_for() -> None:
    assert root.judge(FULL, OLD, NEW, move=True, on_root=False) is True
    assert root.judge(replace(FULL, on_root=True), OLD, NEW, move=True, on_root=True) is True


@pytest.mark.parametrize(
    ("found", "move", "message"),
    [
        ({}, False, "data_root_in_use: Docker has data in /var/lib/docker"),
        ({"occupied": True}, True, "data_root_two: "),
        ({"containerd": True}, True, "data_root_containerd: "),
        ({"is_mount": True}, True, "data_root_is_mount: /mnt/nvme/docker is a mount point"),
        ({"filesystem": "overlayfs"}, True, "data_root_filesystem: Docker's data do not last on overlayfs"),
        ({"filesystem": "nfs"}, True, "data_root_filesystem: "),
        ({"on_root": True}, True, "data_root_not_mounted: /mnt/nvme/docker is on the root filesystem"),
        ({"free": 41 * GB}, True, "disk_too_small: /var/lib/docker has 40.0 GB"),
    ],
)
def test_what_would_lose_sight_of_something_is_refused(
    found: dict[str, Any], move: bool, message: str
) -> None:
    with pytest.raises(host.HostError) as caught:
        root.judge(replace(FULL, **found), OLD, NEW, move=move, on_root=False)
    assert str(caught.value).startswith(message)
    assert " — " in str(caught.value)


def test_images_containers_and_volumes_are_content(tmp_path: Path) -> None:
    assert not root.has_content(tmp_path)
    for place in ("image/overlay2/imagedb/content/sha256", "containers", "volumes/backingFsBlockDev"):
        (tmp_path / place).mkdir(parents=True)
    assert not root.has_content(tmp_path)
    (tmp_path / "volumes/keep/_data").mkdir(parents=True)
    assert root.has_content(tmp_path)


@pytest.mark.parametrize(
    ("live", "running", "stops"),
    [
        ("false", "postgres\nthor-engine\n", ""),
        ("true", "thor-engine\n", ""),
        ("true", "", ""),
        ("true", "postgres\nthor-engine\n", "postgres would run on"),
    ],
)
def test_nothing_moves_under_a_container_that_runs_on(
    monkeypatch: pytest.MonkeyPatch, live: str, running: str, stops: str
) -> None:
    said = {"info": live, "ps": running}
    monkeypatch.setattr(host, "run", lambda *words: subprocess.CompletedProcess(words, 0, said[words[1]], ""))
    if not stops:
        root.require_still()
        return
    with pytest.raises(host.HostError, match=f"data_root_live_restore: {stops}"):
        root.require_still()


class Move:
    """The script of a move, run for real on directories; systemctl only writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = folder / "old", folder / "disk" / "new"
        self.settings, self.calls = folder / "etc" / "daemon.json", folder / "calls"
        self.bin = folder / "bin"
        for place in (self.old / "image", self.new.parent, self.settings.parent, self.bin):
            place.mkdir(parents=True)
        (self.old / "image" / "layer").write_text("bytes")
        self.settings.write_text('{"a": 1}')
        self.tool("systemctl", f'echo "$*" >>{self.calls}; [ "$1" != is-active ] || echo active')

    def tool(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def run(self) -> int:
        pending = self.settings.with_name(".pending")
        pending.write_text('{"data-root": "new"}')
        script = root.script(self.old, self.new, pending).replace(
            "/etc/docker/daemon.json", str(self.settings)
        )
        path = f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(["sh", "-c", script], check=False, env={"PATH": path}).returncode


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return Move(tmp_path)


def test_a_move_copies_then_switches_then_starts(move: Move) -> None:
    move.new.mkdir()
    assert move.run() == 0
    assert (move.new / "image" / "layer").read_text() == "bytes"
    assert (move.old / "image" / "layer").read_text() == "bytes"
    assert move.settings.read_text() == '{"data-root": "new"}'
    assert (move.settings.parent / "daemon.json.before-thorctl").read_text() == '{"a": 1}'
    assert [path.name for path in move.new.parent.iterdir()] == ["new"]
    assert move.calls.read_text().splitlines() == [
        "is-active thor-engine.service",
        "stop docker.socket docker.service",
        "start docker.service",
        "start --no-block thor-engine.service",
    ]


@pytest.mark.parametrize("fails", ["cp", "sync", "mv"])
def test_a_move_that_fails_starts_docker_where_it_was(move: Move, fails: str) -> None:
    move.tool(fails, "exit 1")
    assert move.run() != 0
    assert move.settings.read_text() == '{"a": 1}'
    assert move.calls.read_text().splitlines()[-2:] == [
        "start docker.service",
        "start --no-block thor-engine.service",
    ]
    (move.bin / fails).unlink()
    assert move.run() == 0, "the next run does not go on from a half copy"
    assert (move.new / "image" / "layer").read_text() == "bytes"
