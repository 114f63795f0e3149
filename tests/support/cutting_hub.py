"""A model hub over HTTP that misbehaves on demand: cuts after so many bytes, serves other bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_BYTES = 65536


class CuttingHub:
    """Serves ``files[repository][path]`` at one commit.

    Attributes:
        budget: bytes of file content it still sends, in all; None = no limit. Then every connection breaks.
        sent: bytes of file content sent so far.
        asked: "GET path range" of each request for a file, and whether it had the token.
        odd: answers a request for a file in another way; false where it leaves it to the hub.
        tells: whether it says what SHA-256 a file has.
        token: what it asks for; None = nothing. 401 without it.
    """

    def __init__(self, files: dict[str, dict[str, bytes]], commit: str) -> None:
        self.files, self.commit = dict(files), commit
        self.budget: int | None = None
        self.sent = 0
        self.tells = True
        self.token: str | None = None
        self.asked: list[tuple[str, str, str]] = []
        self.odd: Callable[[BaseHTTPRequestHandler, bytes], bool] = lambda *_: False
        self._lock = threading.Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that has enough hangs up
                    super().handle()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.plain(request, 401, b"no", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        path = request.path.partition("?")[0]
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/[^/]+/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repository = (api or file or [None, ""])[1]
        content = self.files.get(str(repository))
        if content is None:
            return self._refuse(request, "RepoNotFound")
        if file:
            body = content.get(file[2])
            if body is None:
                return self._refuse(request, "EntryNotFound")
            headers = request.headers
            self.asked.append((request.path, headers.get("Range", ""), headers.get("Authorization", "")))
            return None if self.odd(request, body) else self.send(request, body)
        listing = [
            {"type": "file", "path": name, "size": len(body), "oid": _etag(body)}
            for name, body in content.items()
        ]
        info = {
            "id": repository,
            "sha": self.commit,
            "siblings": [{"rfilename": name} for name in content],
        }
        document = info if api and api[2] == "revision" else listing
        return self.plain(request, 200, json.dumps(document).encode(), {})

    def send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """All of a file, or the range that is asked for."""
        if self.budget is not None and self.sent >= self.budget:
            request.close_connection = True
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, len(body)) if asked and asked[2] else len(body)
        request.send_response(206 if asked else 200)
        if self.tells:
            request.send_header("ETag", f'"{_etag(body)}"')
        request.send_header("X-Repo-Commit", self.commit)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(end - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        request.end_headers()
        if request.command == "HEAD":
            return
        for at in range(start, end, BLOCK_BYTES):
            block = body[at : min(at + BLOCK_BYTES, end)]
            with self._lock:
                if self.budget is not None and self.sent >= self.budget:
                    request.close_connection = True
                    return
                self.sent += len(block)
            request.wfile.write(block)

    def _refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        self.plain(request, 404, code.encode(), {"X-Error-Code": code})

    @staticmethod
    def plain(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        """A short answer."""
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


@functools.cache
def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
