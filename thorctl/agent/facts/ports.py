"""The process that listens on a TCP port of this device."""

from __future__ import annotations

import pwd
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.engine.door import DOOR_ACCOUNT
from thorctl.agent.facts import device
from thorctl.agent.parsers.sockets import listening_inodes
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context


@dataclass(frozen=True)
class Listener:
    """A listening process; pid and name None if /proc hides it.

    ``is_engine``: it runs in the engine's container. ``is_door``: it is the door's, whose unit frees the port
    before a layout 1 engine starts.
    """

    pid: int | None
    name: str | None
    is_engine: bool
    is_door: bool = False

    def __str__(self) -> str:
        """Format it for a message."""
        return f"{self.name} (process {self.pid})" if self.pid is not None else "a process that /proc hides"


def listener(ctx: Context, port: int) -> Listener | None:
    """Return the process that accepts connections to 127.0.0.1 at ``port``; None if there is none."""
    tables = [device.text(ctx, f"/proc/net/{table}") for table in ("tcp", "tcp6")]
    inodes = listening_inodes(tables, port)
    if not inodes:
        return None
    for process in ctx.paths.at("/proc").iterdir():
        if process.name.isdigit() and _holds(process, inodes):
            is_door = _is_door(process)
            is_engine = not is_door and in_engine(ctx, int(process.name))
            return Listener(int(process.name), _read(process / "comm"), is_engine, is_door)
    return Listener(None, None, is_engine=False)


def _is_door(process: Path) -> bool:
    """Return whether a process has the door's account: a cgroup's name can be chosen in a delegated one."""
    try:
        return process.stat().st_uid == pwd.getpwnam(DOOR_ACCOUNT).pw_uid
    except (KeyError, OSError):
        return False


def _holds(process: Path, inodes: set[int]) -> bool:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            # A descriptor may be closed after the listing.
            with suppress(OSError):
                found = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
                if found and int(found.group(1)) in inodes:
                    return True
    return False


def in_engine(ctx: Context, pid: int) -> bool:
    """Return whether a process runs in the engine's container.

    PID namespaces are compared: the name of a cgroup can be chosen by the owner of a delegated one.
    """
    try:
        container = ctx.docker.container(ENGINE_CONTAINER)
    except AgentError:
        return False
    first = int(container["State"]["Pid"]) if container else 0
    return first > 0 and pid > 0 and _namespace(ctx, pid) == _namespace(ctx, first) != _namespace(ctx, None)


def _namespace(ctx: Context, pid: int | None) -> str | None:
    """Return a process's PID namespace, None if it cannot be read; for ``None`` the agent's own."""
    try:
        return str(ctx.paths.at(f"/proc/{pid or 'self'}/ns/pid").readlink())
    except OSError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
