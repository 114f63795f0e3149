"""The last smoke test, as ``/var/lib/thor/smoke.json`` has it: what commit, review and status go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.protocol.decode import decode
from thorctl.protocol.status import LastSmoke

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal


def read(ctx: Context) -> LastSmoke | None:
    """The last smoke test; None if there was none, or its record cannot be read."""
    try:
        return decode(LastSmoke, read_json(ctx.paths.smoke_json))
    except (ValueError, OSError):
        return None


def is_of_trial(smoke: LastSmoke, now: Journal) -> bool:
    """Whether it is one of the release on trial, since its activation; an earlier agent's never is."""
    return smoke.release == now.target and smoke.activation == now.activation


def failed(ctx: Context, now: Journal) -> bool:
    """Whether it is one of the release on trial, since its activation, and did not pass."""
    smoke = read(ctx)
    return smoke is not None and is_of_trial(smoke, now) and smoke.passed is False
