"""The running release of this device, and whether its engine is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import ready
from thorctl.agent.release import store as release_store
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.states import COMMITTED, TRIAL

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.engine.client import EngineClient
    from thorctl.agent.release.document import Release


def running_release(ctx: Context, wanted: str | None) -> Release:
    """Return the running release; its id must be ``wanted``, if given.

    Raises:
        AgentError: ``bad_state`` if no release is committed or on trial, or another one is; as
            ``release_store.load``.
    """
    journal = load_journal(ctx.paths)
    if journal.state not in (TRIAL, COMMITTED) or journal.running is None:
        message = f"No release is committed or on trial here: the device is in state {journal.state}."
        remedy = (
            "Activate one first: `thorctl activate DEVICE`. On the device, "
            "`sudo thor-agent recover` ends an interrupted change."
        )
        raise AgentError("bad_state", message, remedy)
    if wanted not in (None, journal.running):
        message = f"{wanted} does not run here; {journal.running} does."
        raise AgentError("bad_state", message, f"Roll it out first: `thorctl rollout start {wanted} DEVICE`.")
    return release_store.load(ctx.paths, journal.running, journal.running_sha256)


def wait_until_ready(ctx: Context, client: EngineClient, release: Release) -> None:
    """Wait until the engine serves the release's model.

    Raises:
        AgentError: ``engine_not_ready``, ``engine_died``.
    """
    served = client.models() if client.healthy() else None
    if served is None:
        try:
            ready.wait(ctx, release)
        except AgentError as error:
            error.changed = False  # reading changes nothing, whatever the engine did
            unit = error.details.get("unit")
            if isinstance(unit, dict) and unit.get("active") == "inactive":
                raise _stopped(release, error) from error
            raise
    elif release.model not in served:
        # Waiting cannot help: another engine answers, or one with another configuration.
        message = f"The engine serves {', '.join(served) or 'nothing'}, not {release.model}."
        remedy = "Check `docker ps` and `ss -ltnp` on the device: another engine may have the port."
        raise AgentError("engine_not_ready", message, remedy)


def _stopped(release: Release, error: AgentError) -> AgentError:
    """Return the error for an inactive unit: it was stopped, or something prevents its start."""
    return AgentError(
        "engine_not_ready",
        f"The engine of {release.id} is stopped: its unit thor-engine is inactive.",
        "Start it: `cd playbooks && ansible DEVICE --become -a 'systemctl start thor-engine'`. If it does "
        "not start: `thorctl logs DEVICE --engine`.",
        details=error.details,
    )
