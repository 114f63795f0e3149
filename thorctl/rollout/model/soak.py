"""How far a device is with the work of its soak, as its status tells it. Pure; what is not known is None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORTEST_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at it.

    Attributes:
        state: running, done or failed; anything else is unknown.
        alive: whether the process on the device is at it.
        reason: why it failed; ``paused``: why it is put off right now.
        steps, wanted: decode steps.
        rate: steps a second under load.
        xid: lines of the kernel's log; None = that log cannot be read.
    """

    state: str
    alive: bool
    steps: int
    wanted: int
    rate: float | None = None
    reason: str | None = None
    paused: str | None = None
    seconds: float | None = None
    failures: int | None = None
    restarts: int | None = None
    xid: tuple[str, ...] | None = None

    @property
    def left_seconds(self) -> float | None:
        """Seconds until its last step at this rate; None where that is unknown, or the work is put off."""
        if self.state == "done":
            return 0.0
        if self.paused or not self.rate or self.state != "running":
            return None
        return max(0, self.wanted - self.steps) / self.rate

    def document(self) -> dict[str, Any]:
        """As ``rollout status --json`` says it."""
        return {
            "state": self.state,
            "steps": self.steps,
            "steps_wanted": self.wanted,
            "steps_per_second": self.rate,
            "seconds": self.seconds,
            "seconds_left": self.left_seconds,
            "paused": self.paused,
            "reason": self.reason,
            "failures": self.failures,
            "restarts": self.restarts,
            "xid": None if self.xid is None else list(self.xid),
        }


def progress(data: Mapping[str, Any], release: str) -> Progress | None:
    """What a status, or the answer to ``soak start``, says of the soak of this release; None = nothing."""
    found = data.get("soak")
    if not isinstance(found, dict) or found.get("release") != release:
        return None
    steps, wanted = _number(found.get("steps")), _number(found.get("steps_wanted"))
    if steps is None or wanted is None:
        return None
    xid, failures, restarts = found.get("xid"), _number(found.get("failures")), _number(found.get("restarts"))
    return Progress(
        state=str(found.get("state")),
        alive=found.get("alive") is True,
        steps=int(steps),
        wanted=int(wanted),
        rate=_number(found.get("steps_per_second")),
        reason=_text(found.get("reason")),
        paused=_text(found.get("paused")),
        seconds=_number(found.get("seconds")),
        failures=None if failures is None else int(failures),
        restarts=None if restarts is None else int(restarts),
        xid=tuple(map(str, xid)) if isinstance(xid, list) else None,
    )


def _number(value: object) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
