"""Wait until the engine serves (/health, then the release's model in /v1/models), or explain why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.docker_api import WAIT_SECONDS
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import cache, endpoint, failure
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.engine.unit import UnitState
    from thorctl.agent.release.document import Release

POLL_SECONDS = 1.0
GRACE_SECONDS = 5.0
LOG_BEFORE_SECONDS = 60.0  # the engine may have ended between its start and the wait
# One restart is tolerated: after a stop, a Thor may return the previous engine's memory late.
RESTARTS_FORGIVEN = 1


def wait(ctx: Context, release: Release) -> float:
    """Wait until the engine is ready; return the seconds this took.

    Raises:
        AgentError: ``engine_died`` (at once), or ``engine_not_ready`` after the release's time limit; with
            the last lines of the engine's log in the details.
    """
    began = ctx.clock.monotonic()
    mark = cache.ready_mark(ctx, release)
    limit = release.ready_seconds(first_start=not mark.exists())
    docker = _Docker(ctx)
    while True:
        unit = engine_unit.state(ctx)
        waited = ctx.clock.monotonic() - began
        away = unit.active != "active" and docker.is_away(unit)
        if not away and _dead(unit, waited - docker.seconds, docker.forgiven):
            raise _error(
                ctx, release, "engine_died", f"The engine of {release.id} died", unit=unit, waited=waited
            )
        # While a restart is queued, the process that answers is the previous one.
        if unit.active == "active" and not unit.queued and serves(ctx, release):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            return round(waited, 1)
        if waited - docker.seconds >= limit:
            message = f"The engine of {release.id} was not ready after {limit:.0f} s"
            raise _error(ctx, release, "engine_not_ready", message, unit=unit, waited=waited)
        ctx.progress.update(
            "start", release=release.id, message=f"{unit.active}, {waited:.0f} of {limit:.0f} s"
        )
        ctx.clock.sleep(POLL_SECONDS)


class _Docker:
    """Detect that Docker stops or restarts during a wait, which is no failure of the engine.

    ``forgiven``: number of restarts not counted. ``seconds``: end of Docker's absence.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx, self._began = ctx, ctx.clock.monotonic()
        self._since: float | None = None
        self.forgiven, self.seconds = RESTARTS_FORGIVEN, 0.0

    def is_away(self, unit: UnitState) -> bool:
        """Return whether to wait for a stopped engine because Docker does not answer (yet)."""
        if self._ctx.docker.responds():
            self._since = None
            return False
        now = self._ctx.clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= WAIT_SECONDS:
            return False
        self.forgiven, self.seconds = unit.restarts + RESTARTS_FORGIVEN, now - self._began
        return True


def _dead(unit: UnitState, waited: float, forgiven: int) -> bool:
    if unit.queued:
        return False
    # Inactive with nothing queued: systemd rejected the start, for a missing required unit, for example.
    never_began = unit.active == "inactive" and waited > GRACE_SECONDS
    return unit.active == "failed" or unit.restarts > forgiven or never_began


def serves(ctx: Context, release: Release) -> bool:
    """Return whether the engine is healthy and lists the release's model."""
    client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))
    return client.healthy() and release.model in (client.models() or [])


def healthy(ctx: Context, release: Release) -> bool:
    """Return whether the unit is the release's and active, and the engine serves the release's model."""
    runs = engine_unit.state(ctx).active == "active"
    return runs and engine_unit.installed(ctx, release) and serves(ctx, release)


def _error(
    ctx: Context, release: Release, code: str, message: str, *, unit: UnitState, waited: float
) -> AgentError:
    log = engine_unit.log_tail(ctx, waited + LOG_BEFORE_SECONDS)
    told = failure.of(log, engine_unit.last_end(ctx))
    return AgentError(
        code,
        f"{message}: {told.why}",
        told.remedy,
        details={
            "release": release.id,
            "unit": vars(unit),
            "waited_seconds": round(waited, 1),
            "log": list(told.lines),
        },
        changed=True,
    )
