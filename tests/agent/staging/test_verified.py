"""Checkpoint files against size and SHA-256, and the record that makes the second look cheap."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import make_context
from thorctl.agent.release.document import CheckpointFile
from thorctl.agent.staging.verified import OLD_MARKER, check

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context

CONTENT = {"a.safetensors": b"a" * 100, "deep/config.json": b"{}"}
FILES = [CheckpointFile(path, len(text), hashlib.sha256(text).hexdigest()) for path, text in CONTENT.items()]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "checkpoint"
    for path, content in CONTENT.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    return place


def hashed(ctx: Context, directory: Path) -> list[int]:
    """How many bytes each file reports: a hashed one in blocks, a vouched one at once."""
    seen: list[int] = []
    assert check(ctx, directory, FILES, on_bytes=seen.append) == []
    return seen


def test_good_files_are_vouched_for(ctx: Context, directory: Path) -> None:
    assert check(ctx, directory, FILES, hash_unknown=False) != []  # nobody hashed them yet
    assert sum(hashed(ctx, directory)) == 102
    record = ctx.paths.verified / "checkpoint.json"
    assert record.stat().st_mode & 0o077 == 0
    assert ctx.paths.verified.stat().st_mode & 0o077 == 0
    assert set(json.loads(record.read_text())["files"]) == set(CONTENT)
    assert check(ctx, directory, FILES, hash_unknown=False) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"b" * 100, "file_wrong_hash"), (b"a" * 99, "file_wrong_size"), (None, "file_missing")],
)
def test_a_file_that_changed_is_noticed(
    ctx: Context, directory: Path, content: bytes | None, code: str
) -> None:
    hashed(ctx, directory)
    file = directory / "a.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    for hash_unknown in (False, True):
        bad = check(ctx, directory, FILES, hash_unknown=hash_unknown)
        assert [(one.file.path, one.code) for one in bad] == [("a.safetensors", code)]
    file.unlink(missing_ok=True)
    file.write_bytes(CONTENT["a.safetensors"])
    assert check(ctx, directory, FILES) == []


def test_a_link_is_no_file(ctx: Context, directory: Path, tmp_path: Path) -> None:
    (directory / "a.safetensors").rename(tmp_path / "elsewhere")
    (directory / "a.safetensors").symlink_to(tmp_path / "elsewhere")
    assert [one.code for one in check(ctx, directory, FILES)] == ["file_missing"]


def test_another_lock_asks_for_another_hash(ctx: Context, directory: Path) -> None:
    hashed(ctx, directory)
    other = [CheckpointFile("a.safetensors", 100, "0" * 64)]
    assert [one.code for one in check(ctx, directory, other, hash_unknown=False)] == ["file_wrong_hash"]
    assert [one.code for one in check(ctx, directory, other)] == ["file_wrong_hash"]


@pytest.mark.parametrize("record", [b"", b"[]", b'{"schema": 2}', b'{"schema": 1, "files": []}', b"\xff"])
def test_a_broken_record_vouches_for_nothing(ctx: Context, directory: Path, record: bytes) -> None:
    hashed(ctx, directory)
    (ctx.paths.verified / "checkpoint.json").write_bytes(record)
    assert [one.code for one in check(ctx, directory, FILES, hash_unknown=False)] == ["file_unverified"] * 2
    assert check(ctx, directory, FILES) == []


def test_a_marker_beside_the_files_is_not_believed(ctx: Context, directory: Path) -> None:
    (directory / "a.safetensors").write_bytes(b"b" * 100)
    files = {
        file.path: {
            "size": file.size,
            "mtime_ns": (directory / file.path).stat().st_mtime_ns,
            "sha256": file.sha256,
        }
        for file in FILES
    }
    (directory / OLD_MARKER).write_text(json.dumps({"schema": 1, "files": files}))
    assert [one.code for one in check(ctx, directory, FILES, hash_unknown=False)] == ["file_unverified"] * 2
    assert [(one.file.path, one.code) for one in check(ctx, directory, FILES)] == [
        ("a.safetensors", "file_wrong_hash")
    ]
    assert not (directory / OLD_MARKER).exists()


def test_a_modification_time_set_back_does_not_hide_a_change(ctx: Context, directory: Path) -> None:
    hashed(ctx, directory)
    file = directory / "a.safetensors"
    before = file.stat()
    file.write_bytes(b"b" * 100)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for hash_unknown in (False, True):
        bad = check(ctx, directory, FILES, hash_unknown=hash_unknown)
        assert [(one.file.path, one.code) for one in bad] == [("a.safetensors", "file_wrong_hash")]


def test_an_absent_directory_lacks_everything(ctx: Context, tmp_path: Path) -> None:
    assert [one.code for one in check(ctx, tmp_path / "nowhere", FILES)] == ["file_missing"] * 2
    assert not (tmp_path / "nowhere").exists()
