"""Decide by a device's status whether a play has anything to do, and which tool does it."""

from __future__ import annotations

from typing import Any

from thorctl.protocol import canonical_json
from thorctl.protocol.decode import Malformed
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.release.convergence import ALL_OF_THE_RELEASE, Desired, Verdict, convergence
from thorctl.remote import earlier


def serves(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """Return whether the release is in place: committed, unchanged, engine ready, smoke test passed.

    A difference or an unknown value gives False: the play then does its work, which only takes time. Drift of
    the host (a power mode that waits for its maintenance window) is ignored: no release corrects it.
    """
    found = convergence(_read(status), _desired(release))
    return found.of(ALL_OF_THE_RELEASE) is Verdict.IN_PLACE


def waits_for_rollout(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """Return whether the device has an earlier layout of the release's profile, which a rollout replaces."""
    return convergence(_read(status), _desired(release)).earlier_layout is not None


def _read(status: dict[str, Any]) -> Status:
    """Read a status; unreadable parts are unknown."""
    try:
        return earlier.read(Status, status)
    except Malformed:
        return UNKNOWN


def _desired(release: dict[str, Any]) -> Desired:
    return Desired(release["id"], canonical_json.release_sha256(release), release["schema"])
