"""A model hub over HTTP that misbehaves on demand: cuts after so many bytes, serves other bytes."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK_BYTES = 65536


class CuttingHub:
    """Serves ``files[repository][path]`` at one commit.

    Attributes:
        budget: bytes of file content it still sends, in all; None = no limit. Then every connection breaks.
        sent: bytes of file content sent so far.
        token: what it asks for; None = nothing. 401 without it.
    """

    def __init__(self, files: dict[str, dict[str, bytes]], commit: str) -> None:
        self.files, self.commit = dict(files), commit
        self.budget: int | None = None
        self.sent = 0
        self.token: str | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

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
            return self._plain(request, 401, b"no", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        path = request.path.partition("?")[0]
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/[^/]+/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repository = (api or file or [None, ""])[1]
        content = self.files.get(str(repository))
        if content is None:
            return self._refuse(request, "RepoNotFound")
        if file:
            body = content.get(file[2])
            return self._refuse(request, "EntryNotFound") if body is None else self._send(request, body)
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
        return self._plain(request, 200, json.dumps(document).encode(), {})

    def _send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.budget is not None and self.sent >= self.budget:
            request.close_connection = True
            return
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        request.send_response(206 if asked else 200)
        request.send_header("ETag", f'"{_etag(body)}"')
        request.send_header("X-Repo-Commit", self.commit)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(body) - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        if request.command == "HEAD":
            return
        for at in range(start, len(body), BLOCK_BYTES):
            if self.budget is not None and self.sent >= self.budget:
                request.close_connection = True
                return
            block = body[at : at + BLOCK_BYTES]
            request.wfile.write(block)
            self.sent += len(block)

    def _refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        self._plain(request, 404, code.encode(), {"X-Error-Code": code})

    @staticmethod
    def _plain(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


@functools.cache
def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
