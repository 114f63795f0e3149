"""The engine as systemd sees it: install its unit, stop, start, ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.paths import ENGINE_CONTAINER, ENGINE_UNIT
from thorctl.agent.release.document import UNIT_FILE
from thorctl.protocol.status import UnitEnd

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed
    from thorctl.agent.release.document import Release

# Above what the unit's own limits add up to: `docker stop` until streams in flight have ended (90 s by
# default), `docker kill` and `docker rm` 35 s each, and TimeoutStopSec= for what is left.
STOP_SECONDS = 420
CALL_SECONDS = 60
STOP_TRIES = 5
STOP_PAUSE_SECONDS = 2.0
_REPLACED = "canceled"  # systemctl(1) about a job in whose place systemd has put another one
LOG_LINES = 1000  # the workers' traceback and those of the two processes above it: some 200 lines
_TIDYING = f"No such container: {ENGINE_CONTAINER}"  # said by the unit's `docker rm`, where nothing is left
ENGINE_IDENTIFIER = "thor-engine"  # SyslogIdentifier= of the unit's template
IDLE = ("inactive", "failed")


@dataclass(frozen=True)
class UnitState:
    """``active``, ``sub`` as systemd calls them; ``restarts`` since the last deliberate start.

    ``queued``: a job of systemd (a start that waits for its turn) is pending.
    """

    active: str
    sub: str
    restarts: int
    queued: bool


def installed(ctx: Context, release: Release) -> bool:
    """True if the installed unit is this release's, byte for byte."""
    try:
        return ctx.paths.engine_unit.read_bytes() == release.files()[UNIT_FILE][1]
    except OSError:
        return False


def is_of(ctx: Context, release_id: str) -> bool:
    """True if the installed unit names this release, whatever else it says."""
    try:
        return release_id.encode() in ctx.paths.engine_unit.read_bytes()
    except OSError:
        return False


def install(ctx: Context, release: Release) -> None:
    """Put the release's unit in place and let it start at boot; starts and stops nothing."""
    if not installed(ctx, release):
        ctx.files.write(ctx.paths.engine_unit, release.files()[UNIT_FILE][1], 0o644)
    _systemctl(ctx, "daemon-reload")
    _systemctl(ctx, "enable", ENGINE_UNIT)
    for wants in ctx.paths.engine_unit.parent.glob("*.wants"):
        ctx.files.sync(wants)  # systemctl makes its links without waiting for the disk


def remove(ctx: Context) -> None:
    """Take the unit away: this device serves nothing. The engine was stopped before."""
    if ctx.paths.engine_unit.exists():
        _systemctl(ctx, "disable", ENGINE_UNIT)
        ctx.files.remove(ctx.paths.engine_unit)
    _systemctl(ctx, "daemon-reload")


def stop(ctx: Context) -> None:
    """Stop the engine and wait for its end; not running is fine.

    A restart of Docker has systemd restart the engine, which cancels this stop: it is repeated.
    """
    words = ("systemctl", "stop", ENGINE_UNIT)
    for tries_left in reversed(range(STOP_TRIES)):
        if state(ctx).active in IDLE:
            return
        done = ctx.runner.run(words, timeout=STOP_SECONDS)
        if done.ok or not tries_left or _REPLACED not in done.stderr:
            _succeeded(done)
            return
        ctx.log.warning("another job took the place of the engine's stop: %s", done.stderr.strip())
        ctx.clock.sleep(STOP_PAUSE_SECONDS)


def start(ctx: Context) -> None:
    """Ask for a start without waiting: the caller watches readiness (at boot, recover comes first)."""
    # Also clears the count of restarts, and the limit that earlier failures may have reached.
    ctx.runner.run(["systemctl", "reset-failed", ENGINE_UNIT], timeout=CALL_SECONDS)
    _systemctl(ctx, "start", "--no-block", ENGINE_UNIT)


def restart(ctx: Context) -> None:
    """Ask for a stop and a start in one: though we die, systemd does both."""
    ctx.runner.run(["systemctl", "reset-failed", ENGINE_UNIT], timeout=CALL_SECONDS)
    _systemctl(ctx, "restart", "--no-block", ENGINE_UNIT)


def up(ctx: Context) -> bool:
    """True if it runs, or systemd is about to start it."""
    now = state(ctx)
    return now.active not in IDLE or now.queued


def state(ctx: Context) -> UnitState:
    """What systemd says of the engine; a unit that does not exist is inactive."""
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
    """How the engine's last run ended since boot, in systemd's words; None if it has not."""
    try:
        words = ctx.paths.engine_end.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return UnitEnd(*words) if len(words) == 3 else None


def log_tail(ctx: Context, seconds: float) -> list[str]:
    """The engine's own last lines of the last ``seconds``; where it said nothing, systemd's about it.

    Not older ones: they may be another release's. Read backwards: with ``--since`` a systemd before 254 takes
    ``--lines`` for the first ones.
    """
    unit = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "--reverse", "--lines", str(LOG_LINES)]
    unit += ["--since", f"-{math.ceil(seconds)}s", "--unit", ENGINE_UNIT]
    ctx.runner.run(["journalctl", "--sync"], timeout=CALL_SECONDS)  # last words may still be on their way
    for argv in ([*unit, "--identifier", ENGINE_IDENTIFIER], unit):
        said = ctx.runner.run(argv, timeout=CALL_SECONDS).stdout.splitlines()
        lines = [line for line in reversed(said) if _TIDYING not in line]
        if lines:
            return lines
    return []


def _systemctl(ctx: Context, *words: str, timeout: float = CALL_SECONDS) -> str:
    return _succeeded(ctx.runner.run(["systemctl", *words], timeout=timeout))


def _succeeded(done: Completed) -> str:
    """Return its output; raise the error that names it if it failed."""
    if not done.ok:
        raise AgentError(
            "internal",
            f"`{' '.join(done.argv)}` failed (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then run `sudo thor-agent "
            "recover` there.",
        )
    return done.stdout
