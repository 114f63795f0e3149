"""`vllm bench serve` in the engine's own container: started, waited for, and ended if we are told to end.

There it needs no second image or mount, and the tokenizer and vLLM's version are the engine's own.
It is read-only and without capabilities: prompts go in through standard input, results lie in its /tmp.
"""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.bench import call as bench_call
from thorctl.agent.bench import result as bench_result
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.core.runner import RC_NOT_FOUND, RC_TIMED_OUT

if TYPE_CHECKING:
    from thorctl.agent.bench.call import Measurement
    from thorctl.agent.bench.result import Measured
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed

_SMALL_CALL_SECONDS = 30.0
_RESULT_BYTES = 4 * 1024 * 1024  # a result of 64 requests has 60 KB; the file is the engine's to fill


def measure(
    ctx: Context, wanted: Measurement, *, port: int, model: str, key: str | None, timeout: float
) -> Measured:
    """Run the client once and read what it measured.

    Args:
        ctx: the device.
        wanted: what to measure.
        port: the engine's.
        model: the name under which it serves the model.
        key: its API key; goes by the environment, since arguments can be read by everybody.
        timeout: seconds until the client is killed.

    Raises:
        bench_result.UnusableError: it measured nothing that may be reported.
    """
    # The name is also how the client's processes are found again if it has to be killed.
    result = f"thor-bench-{secrets.token_hex(8)}.json"
    path = f"/tmp/{result}"  # noqa: S108 - the container's own tmpfs
    call = bench_call.words(wanted, port=port, model=model, result=result)
    # A proxy that Docker hands to containers must not stand between the client and the engine.
    settings = ["--env", "NO_PROXY=127.0.0.1", "--env", "no_proxy=127.0.0.1"]
    settings += ["--env", "OPENAI_API_KEY"] if key else []
    argv = ["docker", "exec", "--interactive", *settings, ENGINE_CONTAINER, *call]
    ended = False
    try:
        environment = {"OPENAI_API_KEY": key} if key else None
        done = ctx.runner.run(argv, timeout=timeout, stdin=wanted.dataset, env=environment)
        ended = done.rc != RC_TIMED_OUT
        for line in (done.stdout + done.stderr).splitlines():
            ctx.log.debug("vllm bench serve: %s", line)
        if done.rc == RC_TIMED_OUT:
            raise bench_result.UnusableError(f"it was not finished after {timeout:g} s")
        if not done.ok:
            why = bench_result.last_line(done.stderr) if done.rc != RC_NOT_FOUND else "docker is not there"
            raise bench_result.UnusableError(f"the client ended with exit status {done.rc}: {why}")
        return bench_result.read(_text(ctx, path), wanted)
    finally:
        if not ended:
            # Killing `docker exec` leaves what it started in the container at work.
            kill(ctx, result)
        _in_container(ctx, "rm", "-f", path)


def kill(ctx: Context, mark: str) -> int:
    """Kill every process with ``mark`` in its command line; return how many there were."""
    killed = 0
    for process in ctx.paths.at("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Not `docker exec` itself nor any other process of ours: they end by themselves.
            if mark.encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


def _text(ctx: Context, path: str) -> str:
    done = _in_container(ctx, "head", "-c", str(_RESULT_BYTES), path)
    if not done.ok:
        raise bench_result.UnusableError(f"the client left no result: {bench_result.last_line(done.stderr)}")
    return done.stdout


def _in_container(ctx: Context, *words: str) -> Completed:
    return ctx.runner.run(["docker", "exec", ENGINE_CONTAINER, *words], timeout=_SMALL_CALL_SECONDS)
