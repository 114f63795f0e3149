"""The engine's systemd unit: install, start, stop, query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.paths import ENGINE_CONTAINER, ENGINE_UNIT
from thorctl.agent.release.document import UNIT_FILE
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.status import UnitEnd

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed
    from thorctl.agent.release.document import Release

# Above the sum of the unit's own limits: `docker stop` until open streams have ended (90 s by default),
# `docker kill` and `docker rm` 35 s each, and TimeoutStopSec= for the rest.
STOP_SECONDS = 420
CALL_SECONDS = 60
STOP_TRIES = 5
STOP_PAUSE_SECONDS = 2.0
_REPLACED = "canceled"  # systemctl(1): another job has replaced this one
LOG_LINES = 1000  # the tracebacks of the worker and of the two processes above it take some 200 lines
_TIDYING = f"No such container: {ENGINE_CONTAINER}"  # logged by the unit's `docker rm` if nothing is left
ENGINE_IDENTIFIER = "thor-engine"  # SyslogIdentifier= of the unit's template
IDLE = ("inactive", "failed")


@dataclass(frozen=True)
class UnitState:
    """The unit's state: ``active``, ``sub`` as in systemd; ``restarts`` since the last deliberate start.

    ``queued``: a systemd job (a start, for example) is pending.
    """

    active: str
    sub: str
    restarts: int
    queued: bool


def installed(ctx: Context, release: Release) -> bool:
    """Return whether the installed unit equals this release's, byte for byte."""
    try:
        return ctx.paths.engine_unit.read_bytes() == release.files()[UNIT_FILE][1]
    except OSError:
        return False


def is_of(ctx: Context, release_id: str) -> bool:
    """Return whether the installed unit names this release, whatever its other content."""
    try:
        return release_id.encode() in ctx.paths.engine_unit.read_bytes()
    except OSError:
        return False


def install(ctx: Context, release: Release) -> None:
    """Install the release's unit and enable it at boot; do not start or stop anything."""
    if not installed(ctx, release):
        ctx.files.write(ctx.paths.engine_unit, release.files()[UNIT_FILE][1], 0o644)
    _systemctl(ctx, "daemon-reload")
    _systemctl(ctx, "enable", ENGINE_UNIT)
    for wants in ctx.paths.engine_unit.parent.glob("*.wants"):
        ctx.files.sync(wants)  # systemctl does not sync its links to the disk


def remove(ctx: Context) -> None:
    """Remove the unit of a stopped engine; the device then serves nothing."""
    if ctx.paths.engine_unit.exists():
        _systemctl(ctx, "disable", ENGINE_UNIT)
        ctx.files.remove(ctx.paths.engine_unit)
    _systemctl(ctx, "daemon-reload")


def stop(ctx: Context) -> None:
    """Stop the engine and wait until it has ended; an engine that does not run is no error.

    When Docker restarts, systemd restarts the engine, which cancels this stop: it is then repeated.
    """
    words = ("systemctl", "stop", ENGINE_UNIT)
    for tries_left in reversed(range(STOP_TRIES)):
        if state(ctx).active in IDLE:
            return
        done = ctx.runner.run(words, timeout=STOP_SECONDS)
        if done.ok or not tries_left or _REPLACED not in done.stderr:
            _succeeded(done)
            return
        ctx.log.warning("another job replaced the engine's stop: %s", done.stderr.strip())
        ctx.clock.sleep(STOP_PAUSE_SECONDS)


def start(ctx: Context) -> None:
    """Start the engine without waiting: the caller watches readiness (at boot, recover comes first)."""
    # Also resets the count of restarts and systemd's start limit.
    ctx.runner.run(["systemctl", "reset-failed", ENGINE_UNIT], timeout=CALL_SECONDS)
    _systemctl(ctx, "start", "--no-block", ENGINE_UNIT)


def restart(ctx: Context) -> None:
    """Queue a stop and a start as one job, which systemd completes even if this process dies."""
    ctx.runner.run(["systemctl", "reset-failed", ENGINE_UNIT], timeout=CALL_SECONDS)
    _systemctl(ctx, "restart", "--no-block", ENGINE_UNIT)


def up(ctx: Context) -> bool:
    """Return whether the engine runs, or systemd is about to start it."""
    now = state(ctx)
    return now.active not in IDLE or now.queued


def state(ctx: Context) -> UnitState:
    """Return the unit's state; a unit that does not exist is inactive."""
    properties = "ActiveState,SubState,NRestarts,Job"
    shown = _systemctl(ctx, "show", "--property", properties, ENGINE_UNIT)
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    restarts = values.get("NRestarts", "")
    return UnitState(
        values.get("ActiveState", "unknown"),
        values.get("SubState", "unknown"),
        int(restarts) if restarts.isdigit() else 0,
        values.get("Job", "0") not in ("", "0"),
    )


def last_end(ctx: Context) -> UnitEnd | None:
    """Return systemd's record of how the engine's last run since boot ended; None if it has not."""
    try:
        words = ctx.paths.engine_end.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return UnitEnd(*words) if len(words) == 3 else None


def log_tail(ctx: Context, seconds: float) -> list[str]:
    """Return the engine's last log lines of the last ``seconds``; systemd's lines about it if it has none.

    Older lines may be another release's. The journal is read backwards: with ``--since``, a systemd before
    254 applies ``--lines`` to the first lines.
    """
    unit = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "--reverse", "--lines", str(LOG_LINES)]
    unit += ["--since", f"-{math.ceil(seconds)}s", "--unit", ENGINE_UNIT]
    ctx.runner.run(["journalctl", "--sync"], timeout=CALL_SECONDS)  # flush lines that are still queued
    for argv in ([*unit, "--identifier", ENGINE_IDENTIFIER], unit):
        said = ctx.runner.run(argv, timeout=CALL_SECONDS).stdout.splitlines()
        lines = [line for line in reversed(said) if _TIDYING not in line]
        if lines:
            return lines
    return []


def _systemctl(ctx: Context, *words: str, timeout: float = CALL_SECONDS) -> str:
    return _succeeded(ctx.runner.run(["systemctl", *words], timeout=timeout))


def _succeeded(done: Completed) -> str:
    """Return the output; raise an error that names the command if it failed."""
    if not done.ok:
        raise AgentError(
            "internal",
            f"`{' '.join(done.argv)}` failed (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then run `sudo thor-agent "
            "recover` there.",
        )
    return done.stdout
