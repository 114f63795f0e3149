"""Connect to the engine of a release, and verify that the listener is that engine."""

from __future__ import annotations

import errno
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING

from thorctl.agent.engine.socket import open_socket
from thorctl.agent.facts import ports
from thorctl.agent.release.document import TCP_LAYOUT
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

    # Time-out of the connection in seconds -> a connected stream socket.
    Dial = Callable[[float], socket.socket]

HOST = "127.0.0.1"
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def dial(ctx: Context, release: Release) -> Dial:
    """Return the function that connects to the engine of ``release``.

    It raises OSError if nothing listens, or if the listener does not run in the engine's container.
    """
    if release.layout == TCP_LAYOUT:
        return partial(_to_port, ctx, release.port)
    return partial(_to_socket, ctx)


def _to_port(ctx: Context, port: int, timeout: float) -> socket.socket:
    connection = socket.create_connection((HOST, port), timeout)
    listener = ports.listener(ctx, port)
    # None: the process that accepted the connection has closed the port since.
    known = listener or ctx.paths.at("/proc/net/tcp").exists()
    if known and not (listener and listener.is_engine):
        connection.close()
        raise _foreign(f"port {port}", str(listener or "a process that has closed it"))
    return connection


def _to_socket(ctx: Context, timeout: float) -> socket.socket:
    path = ctx.paths.at(ENGINE_SOCKET)
    connection = open_socket(path, timeout)
    pid = peer_pid(connection)
    if not ports.in_engine(ctx, pid):
        connection.close()
        raise _foreign(str(path), f"process {pid}")
    return connection


def peer_pid(connection: socket.socket) -> int:
    """Return the PID of the process that listens on a Unix socket; 0 if it is not visible here."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


def _foreign(place: str, process: str) -> OSError:
    return OSError(errno.EPERM, f"{place} belongs to {process}, not to the engine's container")
