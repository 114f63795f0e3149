"""Client of the engine's HTTP API: health, models, one streamed chat completion."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent.engine.chat_stream import Reply, error_message
from thorctl.protocol import foreign_json, sse
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.agent.engine.endpoint import Dial

_PROBE_SECONDS = 10.0
_PROBE_TOTAL_SECONDS = 20.0
# Longest line read; a chat chunk is well under 1 KiB, logprobs included.
_LINE_BYTES = 4 * 1024 * 1024
# Limit of one streamed answer: 16,384 tokens with 20 alternative logprobs each take 24 MiB.
STREAM_BYTES = 64 * 1024 * 1024
_FAULTS = (OSError, http.client.HTTPException, ValueError)


class _Connection(http.client.HTTPConnection):
    def __init__(self, dial: Dial, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._dial, self._seconds = dial, seconds
        self._late = threading.Event()

    def connect(self) -> None:
        self.sock = self._own = self._dial(self._seconds)
        if self._late.is_set():
            raise TimeoutError

    @contextmanager
    def within(self, seconds: float) -> Iterator[_Connection]:
        """Yield the connection; close it at the end, or after ``seconds`` if the answer is too slow.

        A socket time-out limits only the wait for each piece, and the caller may hold the device's lock.

        Raises:
            TimeoutError: the connection was closed before the end.
        """

        def end() -> None:
            self._late.set()
            with suppress(OSError, AttributeError):  # closed, or not connected yet
                self._own.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield self
        except (OSError, http.client.HTTPException):
            if not self._late.is_set():
                raise
        finally:
            timer.cancel()
            self.close()
        if self._late.is_set():
            raise TimeoutError(f"not finished after {seconds:.3g} s")


@dataclass(frozen=True)
class EngineClient:
    """The engine of a release on this device.

    Attributes:
        dial: connects to it (thorctl.agent.engine.endpoint).
        api_key: VLLM_API_KEY of the device's secrets, or None.
    """

    dial: Dial
    api_key: str | None = None

    def connection(self, seconds: float) -> http.client.HTTPConnection:
        """Return an unopened connection; ``seconds`` is its socket time-out."""
        return _Connection(self.dial, seconds)

    def healthy(self) -> bool:
        """Return whether GET /health answers 200; False if the connection is refused."""
        try:
            return self._get("/health")[0] == 200
        except _FAULTS:
            return False

    def models(self) -> list[str] | None:
        """Return the names of the served models; None without a valid list."""
        try:
            status, body = self._get("/v1/models")
            document: Any = foreign_json.read(body)
            return [str(card["id"]) for card in document["data"]] if status == 200 else None
        except (*_FAULTS, KeyError, TypeError):
            return None

    def context_tokens(self) -> int | None:
        """Return the longest context of prompt and answer, in tokens; None if not reported."""
        try:
            status, body = self._get("/v1/models")
            tokens = foreign_json.read(body)["data"][0]["max_model_len"]
            return tokens if status == 200 and type(tokens) is int else None
        except (*_FAULTS, KeyError, TypeError, IndexError):
            return None

    def text(self, path: str) -> str | None:
        """Return the body of GET ``path`` (/version, /metrics); None unless the status is 200."""
        try:
            status, body = self._get(path)
        except _FAULTS:
            return None
        return body.decode("utf-8", errors="replace") if status == 200 else None

    def chat(self, body: dict[str, Any], *, silence_seconds: float, total_seconds: float) -> Reply:
        """POST one streamed chat completion and read it to its end; report failures in ``Reply.error``.

        Args:
            body: the request; streaming and usage are added here.
            silence_seconds: longest wait for the next piece.
            total_seconds: longest time for the whole answer, also if pieces keep arriving.
        """
        reply = Reply()
        started = time.monotonic()
        request = {**body, "stream": True, "stream_options": {"include_usage": True}}
        try:
            with _Connection(self.dial, silence_seconds).within(total_seconds) as connection:
                connection.request("POST", "/v1/chat/completions", json.dumps(request), self.headers())
                response = connection.getresponse()
                if response.status != 200:
                    reply.error = f"HTTP {response.status}: {_refusal(response.read(_LINE_BYTES))}"
                else:
                    reply.read(sse.events(lines(response)))
        except TimeoutError as late:
            reply.error = str(late) if str(late) != "timed out" else f"silent for {silence_seconds:g} s"
        except _FAULTS as fault:
            reply.error = f"the connection broke: {fault or type(fault).__name__}"
        reply.seconds = time.monotonic() - started
        return reply

    def cancel(self, body: dict[str, Any], *, pieces: int, silence_seconds: float) -> str | None:
        """POST one streamed chat completion, disconnect after ``pieces`` events; return an error or None."""
        request = json.dumps({**body, "stream": True})
        try:
            with _Connection(self.dial, silence_seconds).within(silence_seconds) as connection:
                connection.request("POST", "/v1/chat/completions", request, self.headers())
                response = connection.getresponse()
                if response.status != 200:
                    return f"HTTP {response.status}: {_refusal(response.read(_LINE_BYTES))}"
                seen = list(itertools.islice(sse.events(lines(response)), pieces))
                ended = f"the stream ended after {counted(len(seen), 'event')}"
                return None if len(seen) == pieces else ended
        except TimeoutError:
            return f"silent for {silence_seconds:g} s"
        except _FAULTS as fault:
            return f"the connection broke: {fault or type(fault).__name__}"

    def _get(self, path: str) -> tuple[int, bytes]:
        with _Connection(self.dial, _PROBE_SECONDS).within(_PROBE_TOTAL_SECONDS) as connection:
            connection.request("GET", path, headers=self.headers())
            response = connection.getresponse()
            return response.status, response.read(_LINE_BYTES)

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return {**headers, "Authorization": f"Bearer {self.api_key}"} if self.api_key else headers


def lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the lines of a streamed answer.

    Raises:
        ValueError: the answer is larger than ``STREAM_BYTES``.
    """
    size = 0
    for line in iter(partial(response.readline, _LINE_BYTES), b""):
        size += len(line)
        if size > STREAM_BYTES:
            raise ValueError(f"the answer has more than {STREAM_BYTES} bytes")
        yield line


def _refusal(body: bytes) -> str:
    try:
        return error_message(foreign_json.read(body))
    except ValueError:
        return body[:500].decode("utf-8", errors="replace").strip() or "no body"
