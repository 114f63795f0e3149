"""A context that waits for Docker, for verbs that must not fail during an upgrade of Docker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.core.docker_api import WAIT_SECONDS

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def patient(ctx: Context) -> Context:
    """Return a context whose calls of Docker wait up to ``WAIT_SECONDS``, with progress."""

    def told(seconds: float, why: str) -> bool:
        if not seconds:
            ctx.log.info("waiting for Docker, at most %.0f s: %s", WAIT_SECONDS, why)
        message = f"waiting for Docker, {seconds:.0f} of {WAIT_SECONDS:.0f} s"
        ctx.progress.update("docker", message=message)
        return _comes_back(ctx)

    return replace(ctx, docker=ctx.docker.patient(ctx.clock, told))


def _comes_back(ctx: Context) -> bool:
    """Return False if Docker cannot start: its unit is masked or not installed."""
    shown = ctx.runner.run(["systemctl", "show", "--property", "LoadState", "docker.service"]).stdout.strip()
    return shown not in ("LoadState=masked", "LoadState=not-found")
