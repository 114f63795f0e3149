"""The light engine over HTTP: the routes of the OpenAI API that are asked, and how each mode breaks them."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.support.doubles.engine_features import CONTEXT, LONG_CHARACTERS
from tests.support.doubles.engine_modes import known

if TYPE_CHECKING:
    from tests.support.doubles.engine import Engine


def handler(engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        gone = False  # the client

        def handle(self) -> None:
            with contextlib.suppress(ConnectionResetError):  # a client that hung up in the middle
                super().handle()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.path == "/health":
                self._json(503 if engine.mode == "not_ready" or engine.ended else 200, None)
            elif self.path == "/v1/models":
                name = "another-model" if engine.mode == "wrong_model" else engine.model
                self._json(
                    200,
                    {"object": "list", "data": [{"id": name, "object": "model", "max_model_len": CONTEXT}]},
                )
            elif self.path == "/version":
                self._json(200, {"version": "0.0.0"})
            elif self.path == "/metrics":
                self._text(engine.metrics())
            elif self.path == "/control":
                self._json(200, {"model": engine.model, "label": engine.label, "mode": engine.mode})
            else:
                self._json(404, {"error": {"message": "Not Found"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/control":
                engine.mode = known(body["mode"])
                self._json(200, {"mode": engine.mode})
                return
            with engine.lock:
                engine.requests.append(body)
                engine.keys.append(self.headers.get("Authorization"))
                engine.running += 1
            try:
                self._chat(body)
            finally:
                with engine.lock:
                    engine.running -= 1

        def _chat(self, body: dict[str, Any]) -> None:
            if engine.mode == "http_500":
                self._json(
                    500,
                    {"error": {"message": "EngineCore encountered an issue", "type": "InternalServerError"}},
                )
                return
            if engine.mode == "logprobs_end_it" and body.get("logprobs"):
                engine.ended = True
                self._json(500, {"error": {"message": "InvalidCxxCompiler", "type": "InternalServerError"}})
                return
            if engine.mode == "long_refused" and len(str(body["messages"])) > LONG_CHARACTERS:
                self._json(400, {"error": {"message": "the prompt is too long", "type": "BadRequestError"}})
                return
            if engine.mode == "fails_after" and len(engine.requests) > 3:
                self._cut_off()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if engine.mode == "silent":
                engine.stopped.wait(60)
                return
            if engine.mode == "dies_when_two":
                time.sleep(0.1)
                if engine.running > 1:
                    self._cut_off()
                    return
            self._stream(body)

        def _stream(self, body: dict[str, Any]) -> None:
            for number, piece in enumerate(engine.pieces(body)):
                if number == 2 and engine.mode == "dies_mid_stream":
                    self._cut_off()
                    return
                if number == 2 and engine.mode == "error_in_stream":
                    self._event(
                        {"error": {"message": "EngineCore died", "type": "InternalServerError", "code": 500}}
                    )
                    break
                if number == 2 and engine.mode == "not_json":
                    self._chunk(b"data: {oops\n\n")
                self._event(
                    {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": engine.model, **piece}
                )
                if self.gone and engine.mode != "keeps_cancelled":
                    return
                time.sleep(max(0.02, 10 * engine.pace) if engine.mode == "slow" else engine.pace)
                while engine.mode == "never_ends" and not engine.stopped.wait(0.02):
                    self._event(
                        {"choices": [{"index": 0, "delta": {"content": "more "}, "finish_reason": None}]}
                    )
            if engine.mode != "no_done":
                self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _event(self, document: dict[str, Any]) -> None:
            self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

        def _chunk(self, data: bytes) -> None:
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            except OSError:
                # The client gave up, as it should with some modes.
                self.close_connection = self.gone = True

        def _cut_off(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _json(self, status: int, document: object) -> None:
            self._send(status, "application/json", b"" if document is None else json.dumps(document).encode())

        def _text(self, text: str) -> None:
            self._send(200, "text/plain", text.encode())

        def _send(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
