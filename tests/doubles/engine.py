"""A light engine that speaks enough of the OpenAI API to be smoked, and misbehaves on demand.

For faults that a real vLLM does not show when asked to; that it serves rightly is shown with the real one.
As a program: ``engine.py --port 8000 --model NAME [--mode MODE]``; the environment variable ENGINE_MODE or a
POST of ``{"mode": …}`` to /control sets the mode too. Standard library only, so it runs wherever Python does.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What each mode does to a chat answer or to readiness; "good" does nothing.
MODES = {
    "good": "everything right",
    "not_ready": "/health answers 503",
    "wrong_model": "/v1/models lists another model",
    "http_500": "a chat request is refused with HTTP 500 and an error object",
    "error_in_stream": "an error object after two pieces of a stream that began with HTTP 200",
    "dies_mid_stream": "the connection is cut after two pieces",
    "fails_after": "right for three requests, then every connection is cut",
    "dies_when_two": "right one by one; cut as soon as two requests run at once",
    "silent": "HTTP 200 and never a piece",
    "never_ends": "pieces for ever, a little slower than fast",
    "no_done": "whole, but without [DONE]",
    "no_usage": "whole, but without usage",
    "not_json": "an event that is no JSON",
    "length": "cut off at the token limit",
    "empty": "no text at all, finish_reason stop",
    "bangs": "only exclamation marks",
    "babble": "one phrase over and over",
    "same_answer": "the same sentence whatever is asked",
    "wrong_answer": "a coherent, wrong answer",
    "control_characters": "an escape sequence in the answer",
    "replacement_characters": "bytes that are no text",
    "unclosed_thinking": "thinking for ever: no answer after it",
    "no_thinking": "an answer without the thinking that was asked for",
    "stray_marker": "</think> left in the answer",
    "slow": "right, with pauses",
}
# Only a benchmark notices these.
BENCH_MODES = {
    "short": "one token fewer than was asked for, and no word about it",
    "shared": "/metrics counts tokens that others asked for",
    "at_work": "/metrics says that a request is running",
}


class Engine:
    """The double, on a port of 127.0.0.1.

    Attributes:
        mode: one of MODES or BENCH_MODES; may be changed at any time.
        answers: prompt → right answer; other prompts get a sentence about themselves.
        requests: the bodies of the chat requests, in order.
    """

    def __init__(
        self, model: str, mode: str = "good", port: int = 0, answers: dict[str, str] | None = None
    ) -> None:
        self.model = model
        self.mode = mode
        self.answers = answers or {}
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.running = 0
        self.generated = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])

    def __enter__(self) -> Engine:
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, prompt: str) -> str:
        """Return what this mode answers."""
        right = self.answers.get(
            prompt, f"You asked: {prompt} That is a good question, and here is my reply."
        )
        return {
            "empty": "",
            "bangs": "!" * 64,
            "babble": "and so on and so " * 20,
            "same_answer": "I am a helpful assistant.",
            "wrong_answer": "I would rather talk about gardening.",
            "control_characters": f"\x1b[31m{right}",
            "replacement_characters": f"{right} \N{REPLACEMENT CHARACTER}",
            "unclosed_thinking": "",
            "stray_marker": f"</think>{right}",
        }.get(self.mode, right)

    def pieces(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream, usage last."""
        if body.get("ignore_eos"):
            yield from self._exactly(int(body["max_completion_tokens"]) - (self.mode == "short"))
            return
        prompt = body["messages"][-1]["content"]
        wanted = (
            body.get("chat_template_kwargs", {}).get("enable_thinking", True) and self.mode != "no_thinking"
        )
        thinking = "Let me think about it briefly. " if wanted or self.mode == "unclosed_thinking" else ""
        deltas = [{"reasoning": piece} for piece in _cut(thinking)]
        deltas += [{"content": piece} for piece in _cut(self.answer(prompt))]
        for delta in [{"role": "assistant", "content": ""}, *deltas]:
            yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        finish = "length" if self.mode == "length" else "stop"
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        if self.mode != "no_usage":
            tokens = len(deltas) + 1
            yield {
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9},
            }

    def _exactly(self, tokens: int) -> Iterator[dict[str, Any]]:
        """Yield one chunk a token, as a benchmark asks for it."""
        for _ in range(tokens):
            yield {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
        with self.lock:
            self.generated += tokens
        yield {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": tokens}}

    def metrics(self) -> str:
        """Return what /metrics answers."""
        if self.mode == "shared":
            self.generated += 7
        running = int(self.mode == "at_work")
        made = f"vllm:generation_tokens_total{{}} {self.generated}.0"
        return f"vllm:num_requests_running{{}} {running}.0\n{made}\n"


def _cut(text: str) -> list[str]:
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def _handler(engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.path == "/health":
                self._json(503 if engine.mode == "not_ready" else 200, None)
            elif self.path == "/v1/models":
                name = "another-model" if engine.mode == "wrong_model" else engine.model
                self._json(200, {"object": "list", "data": [{"id": name, "object": "model"}]})
            elif self.path == "/version":
                self._json(200, {"version": "0.0.0"})
            elif self.path == "/metrics":
                self._text(engine.metrics())
            else:
                self._json(404, {"error": {"message": "Not Found"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/control":
                engine.mode = body["mode"]
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
                if engine.mode == "slow":
                    time.sleep(0.02)
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
                self.close_connection = True

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


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--mode", choices=sorted(MODES | BENCH_MODES), default=os.environ.get("ENGINE_MODE", "good")
    )
    parser.add_argument("--answers", type=json.loads, default={}, help="JSON object: prompt to right answer")
    given = parser.parse_args()
    Engine(given.model, given.mode, given.port, given.answers).server.serve_forever()


if __name__ == "__main__":
    main()
