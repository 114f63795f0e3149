"""What a play decides by a device's status: whether there is anything to do, and who does it."""

from __future__ import annotations

from typing import Any

from thorctl.protocol import canonical_json
from thorctl.protocol.decode import Malformed
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.release.convergence import ALL_OF_THE_RELEASE, Desired, Verdict, convergence
from thorctl.remote import earlier


def serves(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the release is in place: committed, unchanged, its engine ready, its smoke test passed.

    What differs or is unknown makes it false: then the play does its work, at the cost of time only.
    What drifted of the host (a power mode that waits for its maintenance window) no release puts right.
    """
    found = convergence(_read(status), _desired(release))
    return found.of(ALL_OF_THE_RELEASE) is Verdict.IN_PLACE


def reads(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the agent that gave ``status`` reads the release and can work a soak."""
    found = _read(status)
    return "soak" in found.agent_verbs and release["schema"] in found.agent_layouts


def waits_for_rollout(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the device has committed an earlier layout of the release's profile: a rollout changes it."""
    return convergence(_read(status), _desired(release)).earlier_layout is not None


def _read(status: dict[str, Any]) -> Status:
    """What cannot be read is unknown."""
    try:
        return earlier.read(Status, status)
    except Malformed:
        return UNKNOWN


def _desired(release: dict[str, Any]) -> Desired:
    return Desired(release["id"], canonical_json.release_sha256(release), release["schema"])
