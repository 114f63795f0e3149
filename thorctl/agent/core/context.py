"""The context of a verb: ``run(ctx, args) -> Outcome`` uses the device through ``ctx`` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    import logging

    from thorctl.agent.core.clock import Clock
    from thorctl.agent.core.docker_api import DockerApi
    from thorctl.agent.core.files import Files
    from thorctl.agent.core.holder import Holder
    from thorctl.agent.core.paths import Paths
    from thorctl.agent.core.progress import Progress
    from thorctl.agent.core.runner import Runner


@dataclass(frozen=True)
class Context:
    """The environment of a verb.

    Attributes:
        paths: all paths; never write an absolute one, use ``paths.at("/proc/meminfo")``.
        runner: runs programs (argv lists); a missing program gives rc 127, a slow one rc 124.
        clock: wall and monotonic time, sleep.
        files: durable writes (write, fsync, rename, fsync of the directory).
        docker: Docker's Engine API over its unix socket; raises ``AgentError("docker_unavailable")``.
        holder: the caller.
        log: messages for people, on stderr.
        progress: ``/run/thor/progress.json``; removed by the dispatcher at the end.
    """

    paths: Paths
    runner: Runner
    clock: Clock
    files: Files
    docker: DockerApi
    holder: Holder
    log: logging.Logger
    progress: Progress
