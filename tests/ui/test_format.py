from __future__ import annotations

from datetime import UTC, datetime

import pytest

from thorctl.ui.format import data_size, memory_size, moment


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "–"),
        (0, "0 bytes"),
        (24_100_000_000, "24.1 GB"),
    ],
)
def test_a_small_size_is_not_shown_as_none(size: int | None, words: str) -> None:
    assert data_size(size) == words


def test_memory_is_in_other_units_than_disks() -> None:
    assert (memory_size(None), memory_size(2**30), data_size(2**30)) == ("–", "1.0 GiB", "1.1 GB")


def test_a_moment_is_told_by_this_machines_clock() -> None:
    local = datetime(2026, 11, 25, 12, tzinfo=UTC).astimezone()
    assert moment("2026-11-25T12:00:00Z") == f"{local:%Y-%m-%d %H:%M}"
    assert (moment(None), moment("soon")) == ("–", "soon")
