"""Atomic writes where nothing more can be written."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from thorctl.cli.process import unforeseen
from thorctl.doctor import machine
from thorctl.files import atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def nothing_more_to_write() -> Iterator[None]:
    """Files can be made and not be written, as on a full disk; the kernel names no file in either case."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_failed_write_names_its_file_and_leaves_what_was(tmp_path: Path) -> None:
    file = tmp_path / "release.json"
    atomic.write(file, "old")
    with nothing_more_to_write(), pytest.raises(OSError, match="File too large") as caught:
        atomic.write(file, "new")
    assert unforeseen(caught.value).message == f"{file}: File too large."
    assert ([one.name for one in tmp_path.iterdir()], file.read_text()) == ([file.name], "old")


def test_doctor_finds_a_folder_in_which_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path))
    assert machine.places().status == "pass"
    with nothing_more_to_write():
        check = machine.places()
    assert check.status == "fail"
    assert f"{tmp_path}: File too large" in check.found
