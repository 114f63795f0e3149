"""Sizes in text."""

from __future__ import annotations

import pytest

from thorctl.protocol.sizes import gibibytes, gigabytes


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (147_500, "147.5 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (24_100_000_000, "24.1 GB"),
        (10**18, "1000.0 PB"),
        (-24_100_000_000, "-24.1 GB"),
    ],
)
def test_stored_and_sent(size: int, text: str) -> None:
    assert gigabytes(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 GiB"),
        (4 * 2**20, "4 MiB"),
        (2**30, "1.0 GiB"),
        (int(98.1 * 2**30), "98.1 GiB"),
        (128 * 2**30, "128 GiB"),
    ],
)
def test_memory(size: int, text: str) -> None:
    assert gibibytes(size) == text
