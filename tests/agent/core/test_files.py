"""The discipline of files: nothing is renamed into place unsynced, no directory is left unsynced."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from tests.support.device_double import make_context
from thorctl.agent.core import events
from thorctl.agent.core.files import Files, read_json
from thorctl.agent.release.document import CheckpointFile
from thorctl.agent.staging.verified import check


class Watched(Files):
    """Notes what is flushed and renamed, by path, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def flush(self, descriptor: int) -> None:
        super().flush(descriptor)
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        self.log.append(f"flush {name}")

    def rename(self, source: Path, target: Path) -> None:
        self.log.append(f"rename {source.name} {target.name}")
        super().rename(source, target)


def test_write_flushes_the_file_before_and_the_directory_after_the_rename(tmp_path: Path) -> None:
    files = Watched()
    files.write(tmp_path / "state.json", b"{}", 0o640)
    temporary = ".tmp-state.json"
    assert files.log == [f"flush {temporary}", f"rename {temporary} state.json", f"flush {tmp_path.name}"]
    assert (tmp_path / "state.json").read_bytes() == b"{}"
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o640


def test_an_event_is_on_the_disk_before_the_verb_goes_on(tmp_path: Path) -> None:
    files = Watched()
    ctx = dataclasses.replace(make_context(tmp_path), files=files)
    events.begin(ctx, "activate", "tiny-aaaaaaaaaaaa", {})
    assert files.log == ["flush events.jsonl"]


def test_a_checkpoint_s_files_are_on_the_disk_before_anything_vouches_for_them(tmp_path: Path) -> None:
    """The record says by size and time; both may outlive a power cut that the content does not."""
    files = Watched()
    ctx = dataclasses.replace(make_context(tmp_path), files=files)
    (tmp_path / "weights").write_bytes(b"x")
    one = CheckpointFile("weights", 1, hashlib.sha256(b"x").hexdigest())
    assert check(ctx, tmp_path, [one]) == []
    record = f"{tmp_path.name}.json"
    assert files.log.index("flush weights") < files.log.index(f"rename .tmp-{record} {record}")


def test_write_replaces_what_a_killed_write_left(tmp_path: Path) -> None:
    (tmp_path / ".tmp-a").write_bytes(b"half a li")
    Files().write(tmp_path / "a", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_rename_between_directories_flushes_both(tmp_path: Path) -> None:
    files = Watched()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one/a").write_bytes(b"")
    files.rename(tmp_path / "one/a", tmp_path / "two/a")
    assert files.log[1:] == ["flush two", "flush one"]


def test_remove_tree_takes_a_read_only_tree_in_one_step(tmp_path: Path) -> None:
    files = Watched()
    tree = tmp_path / "release"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/file").write_bytes(b"x")
    (tree / "deep").chmod(0o555)
    tree.chmod(0o555)
    files.remove_tree(tree)
    assert list(tmp_path.iterdir()) == []
    assert files.log[0] == "rename release .tmp-release"
    files.remove_tree(tree)  # saying it twice is saying it once


def test_remove_is_flushed_and_idempotent(tmp_path: Path) -> None:
    files = Watched()
    (tmp_path / "a").write_bytes(b"")
    files.remove(tmp_path / "a")
    files.remove(tmp_path / "a")
    assert files.log == [f"flush {tmp_path.name}"]


def test_read_json(tmp_path: Path) -> None:
    assert read_json(tmp_path / "absent") is None
    (tmp_path / "broken").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "broken")
