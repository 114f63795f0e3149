"""A disk that is full or read-only: its error, and the space reserved for a rollback.

The reserve is written before each activation, which fails without space for it, and is released when the
journal cannot be written. A rollback writes the journal and a unit: a few blocks, possibly on two disks.
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
    "the disk (`fsck`) or replace it, reboot, then run `thorctl status DEVICE`."
)
FULL_REMEDY = (
    "Free space on the device (`sudo thor-agent gc`, `docker image prune`), then repeat the command."
)


def as_error(failed: BaseException) -> AgentError | None:
    """Return ``disk_read_only`` or ``disk_too_small``; None if the error has another cause."""
    number = failed.errno if isinstance(failed, OSError) else None
    if number == errno.EROFS:
        return AgentError("disk_read_only", f"The disk is read-only: {failed}.", READ_ONLY_REMEDY)
    if number in FULL:
        return AgentError("disk_too_small", f"The disk is full: {failed}.", FULL_REMEDY)
    return None


def reserve(ctx: Context) -> None:
    """Reserve the space for a rollback.

    Raises:
        AgentError: ``disk_too_small``.
    """
    try:
        for place in _places(ctx):
            # Random bytes: a file system with compression would allocate nothing for zeros.
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
    """Release the reserved space; return False if there was none."""
    reserved = [place for place in _places(ctx) if place.exists()]
    for place in reserved:
        ctx.log.warning("the disk is full: releasing the reserve %s", place)
        ctx.files.remove(place)
    return bool(reserved)


def _places(ctx: Context) -> tuple[Path, ...]:
    """Return the reserve files: one beside the journal, one on the disk of the unit."""
    return ctx.paths.journal_reserve, ctx.paths.unit_reserve
