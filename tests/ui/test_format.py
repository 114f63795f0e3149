from __future__ import annotations

from datetime import UTC, datetime

import pytest

from thorctl.ui.format import GIB, MIB, data_size, moment


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "–"),
        (0, "0 MiB"),
        (4_195_409, "4 MiB"),
        (GIB - MIB, "1023 MiB"),
        (GIB, "1.0 GiB"),
        (24 * GIB, "24.0 GiB"),
        (936 * GIB, "936 GiB"),
    ],
)
def test_a_small_size_is_not_shown_as_none(size: int | None, words: str) -> None:
    assert data_size(size) == words


def test_a_moment_is_told_by_this_machines_clock() -> None:
    local = datetime(2026, 11, 25, 12, tzinfo=UTC).astimezone()
    assert moment("2026-11-25T12:00:00Z") == f"{local:%Y-%m-%d %H:%M}"
    assert (moment(None), moment("soon")) == ("–", "soon")
