"""What a play decides by a device's status: whether there is anything to do, and who does it."""

from __future__ import annotations

from typing import Any

from thorctl.protocol import canonical_json
from thorctl.release.convergence import ALL_OF_THE_RELEASE, Desired, Verdict, convergence


def serves(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the release is in place: committed, unchanged, its engine ready, its smoke test passed.

    What differs or is unknown makes it false: then the play does its work, at the cost of time only.
    What drifted of the host (a power mode that waits for its maintenance window) no release puts right.
    """
    found = convergence(status, _desired(release))
    return found.of(ALL_OF_THE_RELEASE) is Verdict.IN_PLACE


def reads(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the agent that gave ``status`` reads the release and can work a soak.

    An agent that names no layouts reads layout 1; one whose status has no ``soak`` cannot.
    """
    return "soak" in status and release["schema"] in (status.get("agent_layouts") or [1])


def waits_for_rollout(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the device has committed an earlier layout of the release's profile: a rollout changes it."""
    return convergence(status, _desired(release)).earlier_layout is not None


def _desired(release: dict[str, Any]) -> Desired:
    return Desired(release["id"], canonical_json.release_sha256(release), release["schema"])
