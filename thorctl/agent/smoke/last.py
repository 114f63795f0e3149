"""The last smoke test's record, ``/var/lib/thor/smoke.json``, for commit, review and status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.protocol.decode import decode
from thorctl.protocol.status import LastSmoke

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal


def read(ctx: Context) -> LastSmoke | None:
    """Return the last smoke test; None if there is none, or its record cannot be read."""
    try:
        return decode(LastSmoke, read_json(ctx.paths.smoke_json))
    except (ValueError, OSError):
        return None


def is_of_trial(smoke: LastSmoke, now: Journal) -> bool:
    """Return whether it tested the release on trial since its activation; an earlier agent's never counts."""
    return smoke.release == now.target and smoke.activation == now.activation


def failed(ctx: Context, now: Journal) -> bool:
    """Return whether the last smoke test is of this trial and failed."""
    smoke = read(ctx)
    return smoke is not None and is_of_trial(smoke, now) and smoke.passed is False
