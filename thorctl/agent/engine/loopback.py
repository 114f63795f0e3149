"""A TCP port on the loopback of the engine's container, for a client there that supports TCP only.

``vllm bench serve`` runs in the container, whose engine listens on a Unix socket. This process opens the port
in the container's network namespace: it needs no program of the image, and only the container can connect.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.engine import endpoint
from thorctl.agent.release.document import TCP_LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.engine.endpoint import Dial
    from thorctl.agent.release.document import Release

CONNECT_SECONDS = 10.0
CHUNK_BYTES = 65536
_BACKLOG = 128
_CLONE_NEWNET = 0x40000000  # of setns(2): the file must be a network namespace


@contextmanager
def port(ctx: Context, release: Release) -> Iterator[int]:
    """Yield a port that forwards from the engine's container to the engine.

    Raises:
        AgentError: ``engine_not_ready`` if the container does not run.
    """
    if release.layout == TCP_LAYOUT:
        yield release.port
        return
    container = ctx.docker.container(ENGINE_CONTAINER)
    first = int(container["State"]["Pid"]) if container else 0
    try:
        server = listen_in(ctx.paths.at(f"/proc/{first}/ns/net"))
    except OSError as refused:
        raise AgentError(
            "engine_not_ready",
            f"Cannot enter the network of the container {ENGINE_CONTAINER} (process {first}): {refused}.",
            "Check whether the engine runs (`thorctl status DEVICE`), and its log (`thorctl logs DEVICE`).",
        ) from refused
    with server:
        threading.Thread(target=_accept, args=(server, endpoint.dial(ctx, release)), daemon=True).start()
        yield int(server.getsockname()[1])


def listen_in(namespace: Path) -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1 in a network namespace.

    Raises:
        OSError: the namespace cannot be entered, or the socket cannot listen.
    """
    made: list[socket.socket | OSError] = []

    def make() -> None:  # in a thread: setns(2) changes the namespace of one thread
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), str(namespace))
            finally:
                os.close(descriptor)
            made.append(socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG))
        except OSError as refused:
            made.append(refused)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _accept(server: socket.socket, dial: Dial) -> None:
    with suppress(OSError):  # closed at the end of the benchmark
        while True:
            client, _ = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                engine = dial(CONNECT_SECONDS)
            except OSError:
                client.close()
                continue
            engine.settimeout(None)
            for source, sink in ((client, engine), (engine, client)):
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(CHUNK_BYTES):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
