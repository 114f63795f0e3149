"""A disk that refuses is told by its reason, with a remedy; anything else stays what it was."""

from __future__ import annotations

import errno

import pytest

from thorctl.agent.state import disk_full


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [
        (errno.EROFS, "disk_read_only", "dmesg"),
        (errno.ENOSPC, "disk_too_small", "thor-agent gc"),
        (errno.EDQUOT, "disk_too_small", "thor-agent gc"),
    ],
)
def test_a_refusal_has_a_code_and_a_remedy(number: int, code: str, remedy: str) -> None:
    refused = OSError(number, "no", "/var/lib/thor/state.json")
    error = disk_full.as_error(refused)
    assert error is not None
    assert (error.code, error.exit_code) == (code, 1)
    assert "/var/lib/thor/state.json" in error.message
    assert remedy in error.remedy


def test_what_is_not_the_disk_s_stays_unforeseen() -> None:
    assert disk_full.as_error(PermissionError(errno.EACCES, "no")) is None
    assert disk_full.as_error(OSError("no number")) is None
    assert disk_full.as_error(ValueError("no disk")) is None
