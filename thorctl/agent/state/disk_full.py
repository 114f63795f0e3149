"""A disk that is full or read-only: its error, and the reserve that a rollback falls back on.

The reserve is written anew before each activation, which fails without room for it, and given up when the
journal does not fit any more. A rollback writes the journal and a unit: a few blocks, maybe on two disks.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context

RESERVE_BYTES = 128 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY_REMEDY = (
    "Read the kernel's errors with `dmesg` on the device: it makes a failing disk read-only. Check "
    "the disk (`fsck`) or replace it, reboot, then see `thorctl status DEVICE`."
)
FULL_REMEDY = (
    "Free space on the device (`sudo thor-agent gc`, `docker image prune`), then repeat the command."
)


def as_error(failed: BaseException) -> AgentError | None:
    """``disk_read_only`` or ``disk_too_small``; None if it is not the disk that refused."""
    number = failed.errno if isinstance(failed, OSError) else None
    if number == errno.EROFS:
        return AgentError("disk_read_only", f"The disk is read-only: {failed}.", READ_ONLY_REMEDY)
    if number in FULL:
        return AgentError("disk_too_small", f"The disk is full: {failed}.", FULL_REMEDY)
    return None


def reserve(ctx: Context) -> None:
    """Keep the space back.

    Raises:
        AgentError: ``disk_too_small``.
    """
    try:
        for place in _places(ctx):
            # No zeros: a file system that compresses would keep nothing back.
            ctx.files.write(place, os.urandom(RESERVE_BYTES), 0o600)
    except OSError as full:
        if full.errno not in FULL:
            raise
        raise AgentError(
            "disk_too_small",
            f"Cannot reserve {RESERVE_BYTES // 1024} KiB for a rollback: the disk is full ({full}). The "
            "running release was not changed.",
            FULL_REMEDY,
        ) from full


def drop_reserve(ctx: Context) -> bool:
    """Give the space up; False if there was none."""
    given_up = [place for place in _places(ctx) if place.exists()]
    for place in given_up:
        ctx.log.warning("the disk is full: giving up %s", place)
        ctx.files.remove(place)
    return bool(given_up)


def _places(ctx: Context) -> tuple[Path, ...]:
    """Beside the journal, and on the disk that the unit lies on."""
    return ctx.paths.ballast, ctx.paths.unit_ballast
