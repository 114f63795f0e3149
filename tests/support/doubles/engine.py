"""A light engine that speaks enough of the OpenAI API to be smoked, and misbehaves on demand.

For faults that a real vLLM does not show when asked to; that it serves rightly is shown with the real one.
In a test's own process; engine_program.py is the same as a program, light_image.py as a container image.
A POST of ``{"mode": …}`` to /control sets the mode too. Standard library only, so it runs where Python does.
"""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, Any

from tests.support.doubles import engine_features as features
from tests.support.doubles.engine_server import handler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class UnixServer(ThreadingUnixStreamServer):
    request_queue_size = 64


class Engine:
    """The double, on a port of 127.0.0.1, or on the Unix socket ``socket``.

    Attributes:
        mode: one of engine_modes.MODES or BENCH_MODES; may be changed at any time.
        label: a name of this engine, which GET /control tells beside its mode.
        pace: seconds after each piece of an answer; a slow one takes ten times as long.
        answers: prompt → right answer; other prompts get a sentence about themselves.
        requests: the bodies of the chat requests, in order.
        others: requests that /metrics counts besides those that are running here.
    """

    def __init__(
        self,
        model: str,
        mode: str = "good",
        port: int = 0,
        answers: dict[str, str] | None = None,
        *,
        label: str = "",
        pace: float = 0.0,
        socket: Path | None = None,
    ) -> None:
        self.model = model
        self.mode = mode
        self.label = label
        self.pace = pace
        self.answers = answers or {}
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.running = 0
        self.ended = False
        self.others = 0
        self.generated = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.server: ThreadingHTTPServer | UnixServer
        if socket:
            self.port = 0
            self.server = UnixServer(str(socket), handler(self))
        else:
            self.server = ThreadingHTTPServer(("127.0.0.1", port), handler(self))
            self.port = int(self.server.server_address[1])
        self.server.daemon_threads = True

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
            if "max_completion_tokens" in body:
                yield from self._exactly(int(body["max_completion_tokens"]) - (self.mode == "short"))
            else:
                yield from self._slowly(int(body["max_tokens"]))
            return
        if (asked := features.pieces(body, self.mode)) is not None:
            yield from asked
            return
        prompt = body["messages"][-1]["content"]
        wanted = (
            body.get("chat_template_kwargs", {}).get("enable_thinking", True) and self.mode != "no_thinking"
        )
        thinking = "Let me think about it briefly. " if wanted or self.mode == "unclosed_thinking" else ""
        deltas = [{"reasoning": piece} for piece in _cut(thinking)]
        missed = features.missed(self.mode, len(self.requests), int(body.get("seed") or 0))
        said = features.WRONG if missed else self.answer(prompt)
        deltas += [{"content": piece} for piece in _cut(said)]
        for delta in [{"role": "assistant", "content": ""}, *deltas]:
            yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        finish = self.mode if self.mode in ("length", "abort") else "stop"
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
            with self.lock:
                self.generated += 1
            yield {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
        yield {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": tokens}}

    def _slowly(self, tokens: int) -> Iterator[dict[str, Any]]:
        """Yield one chunk a token, each counted when it is made: for a client that hangs up meanwhile."""
        for _ in range(tokens):
            with self.lock:
                self.generated += 1
            yield {"choices": [{"index": 0, "delta": {"content": "one "}, "finish_reason": None}]}
            self.stopped.wait(0.0 if self.mode == "keeps_cancelled" else 0.005)
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}

    def metrics(self) -> str:
        """Return what /metrics answers."""
        if self.mode == "shared":
            self.generated += 7
        running = self.running + self.others + int(self.mode == "at_work")
        made = f"vllm:generation_tokens_total{{}} {self.generated}.0"
        requests = f"vllm:num_requests_running{{}} {running}.0\nvllm:num_requests_waiting{{}} 0.0"
        return f"{requests}\n{made}\n" if self.mode != "no_stats" else ""


def _cut(text: str) -> list[str]:
    return [text[start : start + 7] for start in range(0, len(text), 7)]
