"""Packages and snaps of a device that stay at their version."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host, packages

if TYPE_CHECKING:
    from collections.abc import Callable

# dpkg-query of a simulated R38.4 device, shortened: a held one, a removed one, one of another architecture.
LISTING = """\
adduser install installed
containerd install installed
docker.io hold installed
libnvidia-container1:arm64 install installed
linux-image-6.8.12-tegra install installed
linux-image-6.6.0 deinstall config-files
nvidia-l4t-core install installed
nvidia-l4t-kernel hold installed
"""


def test_what_matches_and_is_free_is_held() -> None:
    patterns = ["nvidia-l4t-*", "linux-image*", "libnvidia-container*"]
    wrong = ["libnvidia-container1:arm64", "linux-image-6.8.12-tegra", "nvidia-l4t-core"]
    assert packages.holds_to_change(LISTING, patterns, held=True) == wrong
    assert packages.holds_to_change(LISTING, ["no-such-*"], held=True) == []


def test_what_matches_and_is_held_is_released() -> None:
    assert packages.holds_to_change(LISTING, ["nvidia-*"], held=False) == ["nvidia-l4t-kernel"]
    assert packages.holds_to_change(LISTING, ["docker.io"], held=False) == ["docker.io"]


# What apt-mark says while unattended-upgrades is at work (dpkg 1.22).
LOCKED = (
    "dpkg: error: dpkg database lock was locked by another process with pid 812\nE: Executing dpkg failed."
)


def test_holding_waits_for_an_upgrade_that_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [(100, LOCKED), (100, LOCKED), (0, "")]
    monkeypatch.setattr(
        host, "run", lambda *words: subprocess.CompletedProcess(words, said[0][0], "", said.pop(0)[1])
    )
    monkeypatch.setattr(time, "sleep", lambda _: None)
    packages.do_unlocked("apt-mark", "hold", "docker.io")
    assert said == []


def test_holding_does_not_wait_for_ever_nor_for_another_reason(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LOCK_SECONDS", 0.0)
    answers({"apt-mark hold": (100, LOCKED)})
    with pytest.raises(host.HostError, match="packages_locked: "):
        packages.do_unlocked("apt-mark", "hold", "docker.io")
    answers({"apt-mark hold": (100, "E: no such package")})
    with pytest.raises(host.HostError, match=r"apt-mark_failed: .*: E: no such package"):
        packages.do_unlocked("apt-mark", "hold", "docker.io")


NO_HOLD = 'error: snap "core" has no "refresh.hold" configuration option\n'


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ((1, NO_HOLD), "not held"),
        ("2026-12-01T10:00:00Z\n", "2026-12-01T10:00:00Z"),
        ("forever\n", None),
        ((1, "error: cannot communicate with server: connection refused\n"), None),
    ],
)
def test_snaps_are_held_for_ever(
    answers: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    said: str | tuple[int, str],
    before: str | None,
) -> None:
    ran = answers({"snap get": said, "snap set": ""})
    monkeypatch.setattr(Path, "exists", lambda _: True)
    notes: list[str] = []
    changes = list(packages.snaps(notes))
    assert [change.before for change in changes] == ([before] if before else [])
    for change in changes:
        change.make()
        assert ran[-1] == ("snap", "set", "system", "refresh.hold=forever")
    assert bool(notes) == ("communicate" in str(said))


def test_a_snapd_that_knows_no_hold_is_a_note(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers({"snap get": (1, NO_HOLD), "snap set": (1, 'error: cannot parse "forever"')})
    monkeypatch.setattr(Path, "exists", lambda _: True)
    notes: list[str] = []
    (change,) = packages.snaps(notes)
    change.make()
    assert notes == ['snaps are not held: error: cannot parse "forever"']
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert list(packages.snaps(notes)) == []
