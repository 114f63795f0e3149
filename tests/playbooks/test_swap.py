"""The swap file: when it is made, left, refused; and that what is made is one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.playbooks.playbook_run import PLAYBOOKS, PlaybookRun, warm_playbook
from thorctl.ansible_plugins.swap import swap_bytes, swap_problem, swap_unit

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
ROOM = f"ext2/ext3 {400 * GIB // 4096} 4096"
TASKS = yaml.safe_load((PLAYBOOKS / "roles/thor_host/tasks/swap.yml").read_text())[0]["block"]


def problem(wanted: int, found: int, *, used: int | None = None, **more: Any) -> str:
    area = None if used is None else {"used_bytes": used * GIB}
    known = {"disk": ROOM, "available": 100 * GIB, "resize": False, **more}
    return swap_problem(wanted * GIB, found * GIB, area=area, **known)


@pytest.mark.parametrize(
    ("wanted", "found", "more"),
    [
        (16, 0, {}),
        (16, 16, {"used": 60}),
        (8, 16, {"used": 0, "resize": True}),
        (0, 16, {"used": 0}),
        (0, 0, {}),
        (16, 0, {"disk": ROOM.replace("ext2/ext3", "xfs")}),
        # Room for the new one is counted with the old one gone.
        (32, 16, {"disk": f"ext4 {112 * GIB // 4096} 4096", "resize": True}),
    ],
)
def test_a_swap_file_that_is_possible(wanted: int, found: int, more: dict[str, Any]) -> None:
    assert problem(wanted, found, **more) == ""


@pytest.mark.parametrize(
    ("wanted", "found", "more", "message"),
    [
        (8, 16, {"used": 0}, "swap_other_size: the swap file has 16.0 GiB, not 8.0"),
        (16, 0, {"disk": "overlayfs 1 1"}, "swap_filesystem: a swap file on overlayfs"),
        (16, 0, {"disk": "tmpfs 1 1"}, "swap_filesystem: "),
        (
            16,
            0,
            {"disk": f"ext4 {63 * GIB // 4096} 4096"},
            "disk_too_small: 16.0 GiB of swap are more than a quarter of the 63.0",
        ),
        (8, 16, {"used": 60, "resize": True}, "swap_in_use: 60.0 GiB are swapped out"),
        (0, 16, {"used": 60}, "swap_in_use: "),
    ],
)
def test_a_refusal_names_a_remedy(wanted: int, found: int, more: dict[str, Any], message: str) -> None:
    text = problem(wanted, found, **more)
    assert text.startswith(message)
    assert " — " in text


@pytest.mark.parametrize("path", ["/var/lib/thor/swapfile", "/mnt/my-disk/.swap", "/.swap", "/a b/ü"])
def test_the_unit_has_the_name_that_systemd_gives_it(path: str) -> None:
    words = ["systemd-escape", "--path", "--suffix=swap", path]
    assert swap_unit(path) == subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def make(path: Path, size: int) -> int:
    """Runs the role's own command."""
    (argv,) = (
        task["ansible.builtin.command"]["argv"] for task in TASKS if task["name"] == "Make the swap file"
    )
    words = [
        str(path) if "path" in word and "{{" in word else str(size) if "{{" in word else word for word in argv
    ]
    return subprocess.run(words, check=False, capture_output=True).returncode


def test_what_is_made_is_a_swap_file_for_root_only(tmp_path: Path) -> None:
    path = tmp_path / "swapfile"
    path.with_suffix(".new").write_bytes(b"of a power cut" * (2 << 20))
    assert make(path, 16 << 20) == 0
    content = path.read_bytes()
    assert len(content) == 16 << 20
    assert content[4086:4096] == b"SWAPSPACE2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 >= 16 << 20  # no holes: swapon refuses them
    assert [file.name for file in tmp_path.iterdir()] == ["swapfile"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    assert make(tmp_path / "swapfile", 1 << 60) != 0
    assert list(tmp_path.iterdir()) == []


def converge(folder: Path, **facts: Any) -> PlaybookRun:
    """The role's swap tasks in check mode, here."""
    known = {"memory": {"total_bytes": GIB, "available_bytes": GIB}, "swap": [], "container": False, **facts}
    given = {
        "thor_host_swap_size": "16M",
        "thor_host_swap_path": str(folder / "swapfile"),
        "thor_host_facts": known,
    }
    task = {"ansible.builtin.include_role": {"name": "thor_host", "tasks_from": "swap"}, "vars": given}
    play = {"hosts": "all", "connection": "local", "gather_facts": False, "tasks": [task]}
    book = folder / "book.yml"
    book.write_text(yaml.safe_dump([play]))
    return warm_playbook("-i", "here,", "--check", str(book))


@pytest.mark.slow
class TestRole:
    """By real ansible-playbook on this machine."""

    def test_a_missing_file_is_made(self, tmp_path: Path) -> None:
        done = converge(tmp_path)
        assert (done.exit_code, done.total("changed")) == (0, 1), done.text

    @pytest.mark.parametrize(
        "facts",
        [
            {"container": True},
            {"swap": [{"path": "/dev/nvme0n1p9", "kind": "partition", "size_bytes": 1, "used_bytes": 0}]},
            {"swap": [{"path": "OURS", "kind": "file", "size_bytes": (16 << 20) - 4096, "used_bytes": 0}]},
        ],
    )
    def test_a_device_that_has_its_swap_is_not_asked(self, tmp_path: Path, facts: dict[str, Any]) -> None:
        for area in facts.get("swap", []):
            area["path"] = area["path"].replace("OURS", str(tmp_path / "swapfile"))
        done = converge(tmp_path, **facts)
        assert done.exit_code == 0, done.text
        assert done.total("skipped") == len(TASKS), done.text

    def test_compressed_memory_is_no_disk(self, tmp_path: Path) -> None:
        zram = {"path": "/dev/zram0", "kind": "zram", "size_bytes": GIB, "used_bytes": 0}
        assert converge(tmp_path, swap=[zram]).total("changed") == 1

    def test_a_file_of_another_size_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "swapfile").write_bytes(bytes(8 << 20))
        done = converge(tmp_path)
        assert done.exit_code != 0
        assert "swap_other_size" in done.text


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
