"""Door and bridge: start the unit that fits the engine's layout, stop the other.

A layout 2 engine listens on a Unix socket; ``thor-door.service`` serves it on 127.0.0.1. A layout 1 engine
listens on that port itself; ``thor-bridge.socket`` offers it as the Unix socket that the edge connects to.
The role thor_door installs the units. The door's ``ExecCondition=`` applies the same rule at boot, before any
agent runs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core import removal
from thorctl.agent.release.document import TCP_LAYOUT
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

DOOR_UNIT = "thor-door.service"
DOOR_ACCOUNT = "thor-door"  # User= of that unit
BRIDGE_SOCKET = "thor-bridge.socket"
BRIDGE_UNIT = "thor-bridge.service"
BRIDGE_SETTINGS = "bridge.env"  # in the run directory; EnvironmentFile= of thor-bridge.service
UNITS = "/etc/systemd/system"
# The door's own stop time is 10 s (TimeoutStopSec= of thor-door.service).
CALL_SECONDS = 30


def follow(ctx: Context, release: Release | None) -> None:
    """Run the unit that fits ``release`` (None: no engine), stop the other. Idempotent.

    Call it after the old engine has stopped and the unit of ``release`` is installed, and before its engine
    starts: a layout 1 engine needs the door's port. Failures are logged and not raised: they must not prevent
    a rollback.
    """
    try:
        if release is not None and release.layout == TCP_LAYOUT:
            _systemctl(ctx, ["stop"], DOOR_UNIT)
            _bridge(ctx, release.port)
        else:
            _systemctl(ctx, ["stop"], BRIDGE_SOCKET, BRIDGE_UNIT)
            # No wait: nothing depends on the door, and systemd restarts it without limit.
            _systemctl(ctx, ["start", "--no-block"], DOOR_UNIT)
    except OSError as failed:
        ctx.log.warning("door and bridge: %s", failed)


def _bridge(ctx: Context, port: int) -> None:
    settings = ctx.paths.run_dir / BRIDGE_SETTINGS
    wanted = f"PORT={port}\n".encode()
    known = settings.read_bytes() if settings.exists() else None
    if known == wanted and _is_active(ctx, BRIDGE_SOCKET):
        return  # keep its open streams
    _systemctl(ctx, ["stop"], BRIDGE_SOCKET, BRIDGE_UNIT)
    if not installed(ctx, BRIDGE_SOCKET):
        return
    # The directory belonged to the layout 2 engine. systemd recreates it empty.
    with suppress(FileNotFoundError):  # no engine has run since boot
        removal.remove_path(ctx.paths.at(ENGINE_SOCKET).parent)
    settings.write_bytes(wanted)  # in /run, so a rollback needs no disk space
    _systemctl(ctx, ["start"], BRIDGE_SOCKET)


def _systemctl(ctx: Context, verb: Sequence[str], *units: str) -> None:
    """Run systemctl for the installed ones of ``units``; log a failure."""
    there = [unit for unit in units if installed(ctx, unit)]
    if not there:
        return
    done = ctx.runner.run(["systemctl", *verb, *there], timeout=CALL_SECONDS)
    if not done.ok:
        ctx.log.warning("`%s` failed (exit %d): %s", " ".join(done.argv), done.rc, done.stderr.strip())


def _is_active(ctx: Context, unit: str) -> bool:
    if not installed(ctx, unit):
        return False
    return ctx.runner.run(["systemctl", "is-active", "--quiet", unit], timeout=CALL_SECONDS).ok


def installed(ctx: Context, unit: str) -> bool:
    """Return whether the role thor_door has installed the unit; it does not for a closed door."""
    return (ctx.paths.at(UNITS) / unit).exists()
