"""Waiting until the engine serves the model it should: /health first, then its name in /v1/models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.outcome import AgentError
from thorctl.agent.paths import ENGINE_UNIT

if TYPE_CHECKING:
    from thorctl.agent.context import Context
    from thorctl.agent.engine_client import EngineClient

POLL_SECONDS = 1.0
# systemd says `inactive` for a moment while a start is queued; so many polls in a row: nobody starts it.
_INACTIVE_POLLS = 5
_LOG = "`journalctl -u thor-engine` on the device (`thorctl logs DEVICE`) holds the engine's own words."


def wait_until_ready(ctx: Context, client: EngineClient, model: str, *, seconds: float) -> float:
    """Wait until the engine answers /health with 200 and lists ``model``; return the seconds that took.

    Raises:
        AgentError: ``engine_died`` if its unit failed; ``engine_not_ready`` if it serves another model, if
            nobody starts it, or after ``seconds``.
    """
    started = ctx.clock.monotonic()
    inactive = 0
    while True:
        served = client.models() if client.healthy() else None
        waited = ctx.clock.monotonic() - started
        if served is not None:
            _check_model(served, model)
            return waited
        state = ctx.runner.run(["systemctl", "is-active", ENGINE_UNIT], timeout=10).stdout.strip()
        inactive = inactive + 1 if state == "inactive" else 0
        if state == "failed":
            raise AgentError(
                "engine_died", f"The engine's unit failed after {waited:.0f} s of waiting.", _LOG
            )
        if inactive >= _INACTIVE_POLLS:
            remedy = "Start it: `systemctl start thor-engine`, or activate a release."
            raise AgentError("engine_not_ready", "The engine is stopped, and nothing starts it.", remedy)
        if waited >= seconds:
            message = f"The engine is not ready after {waited:.0f} s (its unit is {state or 'unknown'})."
            raise AgentError("engine_not_ready", message, _LOG)
        ctx.clock.sleep(POLL_SECONDS)


def _check_model(served: list[str], model: str) -> None:
    if model not in served:
        names = ", ".join(served) or "nothing"
        remedy = "Another engine may hold the port: look at `docker ps` and at `ss -ltnp`."
        raise AgentError("engine_not_ready", f"The engine serves {names}, not {model}.", remedy)
