"""Check whether every device answers: one check per device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.doctor.check import Check
from thorctl.doctor.check import Status as CheckStatus
from thorctl.protocol.identity import stranger, twins
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.release.convergence import convergence
from thorctl.remote.agent_call import run_verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.inventory.devices import Device
    from thorctl.release.convergence import Desired
    from thorctl.remote.answer import Answer

AREA = "devices"


def checks(devices: Sequence[Device], desired: Mapping[str, Desired]) -> list[Check]:
    """Check all devices concurrently; ``desired``: the release of each device, if known."""
    answers = run_verb(devices, "status")
    further = twins({one.device: (one.get(Status) or UNKNOWN).identity for one in answers if one.ok})
    return [check(one, further.get(one.device), desired.get(one.device)) for one in answers]


def check(answer: Answer, same_as: str | None = None, desired: Desired | None = None) -> Check:
    """Check one device's answer; one without an agent can still be set up, which is a warning.

    ``same_as``: another name under which this machine counts.
    """
    if answer.error is None:
        status = answer.get(Status) or UNKNOWN
        if same_as:
            found = f"is the same machine as {same_as} ({status.identity.words})"
            return Check(
                AREA, answer.device, "fail", found, "Remove one of the two names from the inventory."
            )
        if other := stranger(answer.device, status.identity):
            remedy = (
                "Check ansible_host and known_hosts of both. If the device was renamed: `cd "
                f"playbooks && ansible-playbook site.yml --limit {answer.device}`."
            )
            return Check(AREA, answer.device, "fail", other, remedy)
        state = status.state or "unknown"
        earlier, layout = convergence(status, desired).earlier_layout, ""
        if desired and earlier:
            layout = f"; its release has layout {earlier}, a rollout installs layout {desired.layout}"
        return Check(AREA, answer.device, "pass", f"answers in {answer.seconds:.1f} s, state {state}{layout}")
    verdict: CheckStatus = "warn" if answer.error.code == "agent_missing" else "fail"
    return Check(AREA, answer.device, verdict, answer.error.message, answer.error.remedy)
