"""Does every device answer? One check a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.doctor.check import Check, Status
from thorctl.release import LAYOUT
from thorctl.transport import run_verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.answer import Answer
    from thorctl.fleet import Device

AREA = "devices"
DEVICE_TIMEOUT = 30.0  # seconds for the agent's status


def checks(devices: Sequence[Device]) -> list[Check]:
    """Asks all of them at once."""
    return [check(answer) for answer in run_verb(devices, "status", timeout=DEVICE_TIMEOUT)]


def check(answer: Answer) -> Check:
    """A device without an agent can still be set up: that is a warning."""
    if answer.error is None:
        state = answer.data.get("state") or "unknown"
        running = answer.data.get("release_layout", 1 if answer.data.get("release") else None)
        earlier = isinstance(running, int) and running < LAYOUT
        layout = f"; its release has layout {running}, a rollout brings layout {LAYOUT}" if earlier else ""
        return Check(AREA, answer.device, "pass", f"answers in {answer.seconds:.1f} s, state {state}{layout}")
    status: Status = "warn" if answer.error.code == "agent_missing" else "fail"
    return Check(AREA, answer.device, status, answer.error.message, answer.error.remedy)
