"""How far a device is with the work of its soak, as its status tells it. Pure; what is not known is None."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.protocol.status import Soak

SHORTEST_LOOK_SECONDS = 2.0


def of_release(soak: Soak | None, release: str) -> Soak | None:
    """The soak if it is one of this release; None = nothing is known of one."""
    return soak if soak is not None and soak.release == release else None


def document(soak: Soak) -> dict[str, object]:
    """As ``rollout status --json`` says it."""
    return {
        "state": soak.state,
        "steps": soak.steps,
        "steps_wanted": soak.steps_wanted,
        "steps_per_second": soak.steps_per_second,
        "seconds": soak.seconds,
        "seconds_left": soak.seconds_left,
        "paused": soak.paused,
        "reason": soak.reason,
        "failures": soak.failures,
        "restarts": soak.restarts,
        "xid": None if soak.xid is None else list(soak.xid),
    }
