"""Progress of a device's soak, from its status; None is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.protocol.status import Soak

SHORTEST_LOOK_SECONDS = 2.0


def of_release(soak: Soak | None, release: str) -> Soak | None:
    """Return the soak if it is of this release; else None."""
    return soak if soak is not None and soak.release == release else None


def document(soak: Soak) -> dict[str, object]:
    """Return the document of ``rollout status --json``."""
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
