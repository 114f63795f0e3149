"""An HTTP server that misbehaves: answers without end, compressed ones, headers and bodies that drip."""

from __future__ import annotations

import socket
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = b"x" * 65536


@dataclass
class Hostile:
    """A running server; ``sent``: bytes it could send, over all connections."""

    url: str
    sent: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)


Behaviour = "Callable[[Hostile, socket.socket], None]"


def send(server: Hostile, client: socket.socket, data: bytes) -> None:
    client.sendall(data)
    server.sent += len(data)


def answer(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]).encode()


@cache
def bomb(mebibytes: int) -> bytes:
    """A gzip stream of about 1 KB for each MiB of spaces: one block, compressed once and repeated.

    Without gzip's checksum at the end: it is for readers that stop before the end.
    """
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    start = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * mebibytes


def gzip_bomb(server: Hostile, client: socket.socket) -> None:
    body = bomb(400)
    send(server, client, answer("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body)


def zstd(server: Hostile, client: socket.socket) -> None:
    send(server, client, answer("Content-Encoding: zstd", "Content-Length: 4") + b"\x28\xb5\x2f\xfd")


def no_gzip(server: Hostile, client: socket.socket) -> None:
    send(server, client, answer("Content-Encoding: gzip", "Content-Length: 2") + b"{}")


def endless_chunks(server: Hostile, client: socket.socket) -> None:
    send(server, client, answer("Transfer-Encoding: chunked"))
    while not server.stopped.is_set():
        send(server, client, b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")


def endless_redirect(server: Hostile, client: socket.socket) -> None:
    send(server, client, answer("Transfer-Encoding: chunked", "Location: /", status="302 Found"))
    while not server.stopped.is_set():
        send(server, client, b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")


def endless_headers(server: Hostile, client: socket.socket) -> None:
    send(server, client, b"HTTP/1.1 200 OK\r\n")
    while not server.stopped.is_set():
        send(server, client, b"X-Bomb: " + BLOCK + b"\r\n")


def dripping_headers(server: Hostile, client: socket.socket) -> None:
    send(server, client, b"HTTP/1.1 200 OK\r\nX-Drip: ")
    drip(server, client)


def dripping_body(server: Hostile, client: socket.socket) -> None:
    send(server, client, answer())
    drip(server, client)


def drip(server: Hostile, client: socket.socket) -> None:
    while not server.stopped.is_set():
        send(server, client, b" ")
        time.sleep(0.05)


@contextmanager
def running(behaviour: Callable[[Hostile, socket.socket], None]) -> Iterator[Hostile]:
    """A server on the loopback that answers every request so."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Hostile(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            behaviour(server, client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        server.stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
