"""The swap file: when it is made, left, refused; and that what is made is one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host
from tests.playbooks.load_plugin import load
from thorctl.ansible_plugins.swap import swap_bytes

if TYPE_CHECKING:
    from pathlib import Path

swap = load("modules", "thor_swap")
GIB = 1 << 30
BARE = swap.Found(
    container=False,
    size=None,
    used=None,
    enabled=False,
    others=(),
    filesystem="ext4",
    free=400 * GIB,
    available=100 * GIB,
)
IN_USE: dict[str, Any] = {"size": 16 * GIB, "used": 0, "enabled": True}


@pytest.mark.parametrize(
    ("found", "size", "resize", "steps"),
    [
        ({}, 16, False, ["make", "start"]),
        (IN_USE, 16, False, []),
        ({"size": 16 * GIB}, 16, False, ["start"]),
        (IN_USE | {"enabled": False}, 16, False, ["start"]),
        (IN_USE, 8, True, ["stop", "make", "start"]),
        ({"size": 8 * GIB}, 16, True, ["make", "start"]),
        (IN_USE, 0, False, ["stop", "remove"]),
        ({"size": 8 * GIB}, 0, False, ["remove"]),
        ({}, 0, False, []),
        # Room for the new one is counted with the old one gone.
        (IN_USE | {"free": 112 * GIB}, 32, True, ["stop", "make", "start"]),
        ({"filesystem": "xfs"}, 16, False, ["make", "start"]),
    ],
)
def test_the_steps(found: dict[str, Any], size: int, resize: bool, steps: list[str]) -> None:
    assert swap.plan(replace(BARE, **found), size * GIB, resize=resize) == (steps, [])


@pytest.mark.parametrize(
    ("found", "note"),
    [
        ({"container": True}, "a container swaps as its host does"),
        ({"others": ("/dev/nvme0n1p9",)}, "the device swaps to /dev/nvme0n1p9 already"),
    ],
)
def test_where_nothing_can_or_need_be_done_it_says_so(found: dict[str, Any], note: str) -> None:
    assert swap.plan(replace(BARE, **found), 16 * GIB, resize=True) == ([], [note])


@pytest.mark.parametrize(
    ("found", "size", "resize", "message"),
    [
        (IN_USE, 8, False, "swap_other_size: the swap file has 16.0 GiB, not 8.0"),
        ({"filesystem": "overlayfs"}, 16, False, "swap_filesystem: a swap file on overlayfs"),
        ({"filesystem": "tmpfs"}, 16, False, "swap_filesystem: "),
        (
            {"free": 63 * GIB},
            16,
            False,
            "disk_too_small: 16.0 GiB of swap are more than a quarter of the 63.0",
        ),
        (IN_USE | {"used": 60 * GIB}, 8, True, "swap_in_use: 60.0 GiB are swapped out"),
        (IN_USE | {"used": 60 * GIB}, 0, False, "swap_in_use: "),
    ],
)
def test_what_would_harm_is_refused_with_a_way_out(
    found: dict[str, Any], size: int, resize: bool, message: str
) -> None:
    with pytest.raises(host.HostError) as caught:
        swap.plan(replace(BARE, **found), size * GIB, resize=resize)
    assert str(caught.value).startswith(message)
    assert " — " in str(caught.value)


def test_what_is_made_is_a_swap_file_for_root_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "swapfile"
    swap.make(path, "", 16 << 20)
    content = path.read_bytes()
    assert len(content) == 16 << 20
    assert content[4086:4096] == b"SWAPSPACE2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 >= 16 << 20  # no holes: swapon refuses them
    assert [file.name for file in path.parent.iterdir()] == ["swapfile"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(host.HostError, match="swap_failed: "):
        swap.make(tmp_path / "swapfile", "", 1 << 60)
    assert list(tmp_path.iterdir()) == []


# /proc/swaps of a Jetson with compressed memory and our file.
SWAPS = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t4482560\t\t0\t\t5
/var/lib/thor/swapfile                  file\t\t16777212\t\t2048\t\t-2
"""


def test_what_is_in_use_is_read_from_the_kernel() -> None:
    assert swap.in_use(SWAPS, "/var/lib/thor/swapfile") == (2048 * 1024, ())
    assert swap.in_use(SWAPS, "/swapfile") == (None, ("/var/lib/thor/swapfile",))
    assert swap.in_use(SWAPS.splitlines()[0], "/swapfile") == (None, ())


@pytest.mark.parametrize(
    ("size", "memory", "expected"),
    [
        ("16G", None, 16 * GIB),
        ("512M", None, 512 << 20),
        ("0", None, 0),
        (0, None, 0),
        ("auto", 131_880_628_224, 31 * GIB),  # 125772 MB, a T5000's
        ("auto", 2 * GIB, GIB),
    ],
)
def test_sizes(size: str | int, memory: int | None, expected: int) -> None:
    assert swap_bytes(size, memory) == expected


@pytest.mark.parametrize(("size", "memory"), [("auto", None), ("16", 1), ("16GB", 1), ("lots", 1), ("", 1)])
def test_what_is_no_size_is_refused(size: str, memory: int | None) -> None:
    with pytest.raises(ValueError, match="thor_host_swap_size"):
        swap_bytes(size, memory)
