"""Run `vllm bench serve` in the engine's own container, and stop it on a signal.

The container provides the tokenizer and the engine's vLLM without a second image or mount. It is read-only
and without capabilities: prompts enter through standard input, results are in its /tmp.
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
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed
    from thorctl.protocol.bench import Figures

_SMALL_CALL_SECONDS = 30.0
_RESULT_BYTES = 4 * 1024 * 1024  # 64 requests take 60 KB; the file is untrusted


def measure(
    ctx: Context, wanted: Measurement, *, port: int, model: str, key: str | None, timeout: float
) -> Figures:
    """Run the client once and read its result.

    Args:
        ctx: the device.
        wanted: the measurement.
        port: the engine's.
        model: the served name of the model.
        key: the API key; passed by the environment, since arguments are public.
        timeout: seconds until the client is killed.

    Raises:
        bench_result.UnusableError: there is no valid result.
    """
    # The name also identifies the client's processes if they have to be killed.
    result = f"thor-bench-{secrets.token_hex(8)}.json"
    path = f"/tmp/{result}"  # noqa: S108 - the container's own tmpfs
    call = bench_call.words(wanted, port=port, model=model, result=result)
    # A proxy that Docker sets in containers must not be used for the engine.
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
            missing = done.rc == RC_NOT_FOUND
            why = "docker is not installed" if missing else bench_result.last_line(done.stderr)
            raise bench_result.UnusableError(f"the client ended with exit status {done.rc}: {why}")
        return bench_result.read(_text(ctx, path), wanted)
    finally:
        if not ended:
            # Killing `docker exec` does not end the process in the container.
            kill(ctx, result)
        _in_container(ctx, "rm", "-f", path)


def kill(ctx: Context, mark: str) -> int:
    """Kill every process with ``mark`` in its command line; return their number."""
    killed = 0
    for process in ctx.paths.at("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Not `docker exec`, nor any other process of ours: they end by themselves.
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
