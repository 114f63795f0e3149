"""``connect``: relay standard input and output to the engine's socket, for a login without access to it.

The agent's object is the first line of standard output; after ``"ok": true`` the engine's bytes follow.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from thorctl.agent.core import disconnect
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine.socket import open_socket
from thorctl.protocol.paths import ENGINE_SOCKET
from thorctl.protocol.results import Connected

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context

CONNECT_SECONDS = 10.0
CHUNK_BYTES = 65536


def run(ctx: Context, args: argparse.Namespace) -> Outcome:  # noqa: ARG001 - the verb takes no arguments
    """Connect to the engine. ``Outcome.then`` relays until the engine closes or the client disconnects.

    Raises:
        AgentError: ``engine_not_ready``.
    """
    path = ctx.paths.at(ENGINE_SOCKET)
    try:
        engine = open_socket(path, CONNECT_SECONDS)
    except OSError as refused:
        raise AgentError(
            "engine_not_ready",
            f"Cannot connect to the engine's socket {path}: {refused.strerror or refused}.",
            "Check whether the engine runs (`thorctl status DEVICE`), and its log (`thorctl logs DEVICE`).",
        ) from refused
    engine.settimeout(None)
    return Outcome(Connected(str(path)), then=partial(relay, engine, 0, 1))


def relay(engine: socket.socket, source: int, sink: int) -> None:
    """Copy ``source`` to ``engine`` and ``engine`` to ``sink``, without buffering.

    The end of ``source`` closes the engine's receiving direction only. Returns when the engine has closed, or
    on SIGTERM, which ``unheard`` sends when the reader of standard output has closed it.
    """

    def send() -> None:
        with suppress(OSError):
            while piece := os.read(source, CHUNK_BYTES):
                engine.sendall(piece)
            engine.shutdown(socket.SHUT_WR)

    with engine, suppress(OSError, Interrupted), disconnect.terminate_on_disconnect():
        threading.Thread(target=send, daemon=True).start()
        while piece := engine.recv(CHUNK_BYTES):
            while piece:
                piece = piece[os.write(sink, piece) :]
