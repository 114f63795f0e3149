"""A context whose Docker is waited for: for verbs that are not to fail because Docker is being upgraded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.docker_api import WAIT_SECONDS

if TYPE_CHECKING:
    from thorctl.agent.context import Context


def patient(ctx: Context) -> Context:
    """Return a context whose calls of Docker wait up to ``WAIT_SECONDS``, with progress."""

    def told(seconds: float, why: str) -> None:
        if not seconds:
            ctx.log.info("waiting for Docker, at most %.0f s: %s", WAIT_SECONDS, why)
        message = f"waiting for Docker, {seconds:.0f} of {WAIT_SECONDS:.0f} s"
        ctx.progress.update("docker", message=message)

    return replace(ctx, docker=ctx.docker.patient(ctx.clock, told))
