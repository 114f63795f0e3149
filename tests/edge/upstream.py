"""An engine whose stream the test releases piece by piece, and that keeps every request it was given."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: Message
    body: bytes


class Server(ThreadingMixIn, UnixStreamServer):
    """On a Unix socket, as the engine."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_: object) -> None:
        """Do nothing: clients that go away are part of the tests."""


@dataclass
class Upstream:
    """Answers everything with 200. A body with ``"stream":true`` gets an event per piece put into ``pieces``.

    Attributes:
        socket: where it listens.
        pieces: what a stream sends next; None ends it.
        headers: sent with every answer.
    """

    socket: Path
    requests: list[Request] = field(default_factory=list)
    pieces: queue.Queue[str | None] = field(default_factory=queue.Queue)
    headers: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Upstream:
        self.server = Server(str(self.socket), _handler(self))
        self.socket.chmod(0o666)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pieces.put(None)
        self.server.shutdown()
        self.server.server_close()


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream.requests.append(Request(self.command, self.path, self.headers, body))
            self.send_response(200)
            for name, value in upstream.headers.items():
                self.send_header(name, value)
            if b'"stream":true' in body:
                self._stream()
                return
            answer = json.dumps({"path": self.path}).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _stream(self) -> None:
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while (piece := upstream.pieces.get(timeout=PATIENCE_SECONDS)) is not None:
                    data = f"data: {piece}\n\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True  # the client went away

    return Handler
