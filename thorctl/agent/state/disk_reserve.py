"""A little of the disk kept back, so that one filled to its last block cannot keep a device from going back.

Written anew before each activation, which a disk without room for it refuses; given up when the journal does
not fit any more. What a way back writes is the journal and a unit: a few blocks, which may lie on two disks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.state.disk_errors import FULL, FULL_REMEDY

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context

SIZE_BYTES = 128 * 1024


def load(ctx: Context) -> None:
    """Keep the space back.

    Raises:
        AgentError: ``disk_too_small``.
    """
    try:
        for place in _places(ctx):
            # No zeros: a file system that compresses would keep nothing back.
            ctx.files.write(place, os.urandom(SIZE_BYTES), 0o600)
    except OSError as full:
        if full.errno not in FULL:
            raise
        raise AgentError(
            "disk_too_small",
            f"Cannot reserve {SIZE_BYTES // 1024} KiB for a rollback: the disk is full ({full}). The running "
            "release was not changed.",
            FULL_REMEDY,
        ) from full


def drop(ctx: Context) -> bool:
    """Give the space up; False if there was none."""
    given_up = [place for place in _places(ctx) if place.exists()]
    for place in given_up:
        ctx.log.warning("the disk is full: giving up %s", place)
        ctx.files.remove(place)
    return bool(given_up)


def _places(ctx: Context) -> tuple[Path, ...]:
    """Beside the journal, and on the disk that the unit lies on."""
    return ctx.paths.ballast, ctx.paths.unit_ballast
