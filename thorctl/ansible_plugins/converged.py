"""Whether a device already is where site.yml would take it."""

from __future__ import annotations

from typing import Any

from thorctl.protocol import canonical_json
from thorctl.protocol.states import COMMITTED
from thorctl.release.document import is_another


def serves(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if ``status`` (the agent's) says: committed, engine ready, smoke passed, nothing of it drifted.

    Anything missing or unknown makes it false: then the playbook does its work, at the cost of time only.
    What drifted of the host (a power mode that waits for its maintenance window) no release puts right.
    """
    smoke, drift = status.get("last_smoke") or {}, status.get("drift")
    return (
        status.get("state") == COMMITTED
        and status.get("release") == release["id"]
        and not is_another(status, canonical_json.release_sha256(release))
        and (status.get("engine") or {}).get("ready") is True
        and smoke.get("release") == release["id"]
        and smoke.get("passed") is True
        and isinstance(drift, list)
        and all(one.get("scope") == "host" for one in drift)
    )


def reads(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the agent that gave ``status`` reads the release and can work a soak.

    An agent that names no layouts reads layout 1; one whose status has no ``soak`` cannot.
    """
    return "soak" in status and release["schema"] in (status.get("agent_layouts") or [1])


def waits_for_rollout(status: dict[str, Any], release: dict[str, Any]) -> bool:
    """True if the device has committed an earlier layout of the release's profile: a rollout changes it."""
    layout, running = status.get("release_layout"), str(status.get("release"))
    return (
        status.get("state") == COMMITTED
        and isinstance(layout, int)
        and layout < release["schema"]
        and running.rpartition("-")[0] == release["name"]
    )
