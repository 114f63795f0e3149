"""Generations that follow one another on connections of their own, until they are paused or ended."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.engine.chat_stream import Reply
from thorctl.agent.engine.client import lines
from thorctl.protocol import sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thorctl.agent.engine.client import EngineClient

_POLL_SECONDS = 0.2
AFTER_FAULT_SECONDS = 1.0


class _Call:
    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.cancelled = False

    def cancel(self) -> None:
        """End it: the engine drops a request whose client is gone."""
        self.cancelled = True
        with suppress(OSError, AttributeError):  # not connected yet: it looks at `cancelled` once it is
            self.connection.sock.shutdown(socket.SHUT_RDWR)


class Streams:
    """Paused at first.

    Attributes:
        generations: how many came to their end.
        pieces: pieces of answers that came.
        faults: why generations failed that nobody cancelled.
    """

    def __init__(
        self,
        client: EngineClient,
        body: Callable[[int], dict[str, Any]],
        *,
        at_once: int,
        silence_seconds: float,
        every_seconds: float = 0.0,
    ) -> None:
        """``body`` makes the request of that number; ``every_seconds``: pause after each generation."""
        self._client, self._body = client, body
        self._silence, self._every = silence_seconds, every_seconds
        self._goes, self._over, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._calls: set[_Call] = set()
        self._count = 0
        self.generations = 0
        self.pieces = 0
        self.faults: list[str] = []
        for _ in range(at_once):
            threading.Thread(target=self._run, daemon=True).start()

    @property
    def in_flight(self) -> int:
        """Requests that are under way."""
        return len(self._calls)

    def resume(self) -> None:
        """Let them run."""
        self._goes.set()

    def pause(self) -> None:
        """Cancel what is under way, and begin nothing until ``resume``."""
        with self._lock:
            self._goes.clear()
            for call in self._calls:
                call.cancel()

    def end(self) -> None:
        """Cancel what is under way, for good."""
        self._over.set()
        self.pause()

    def _run(self) -> None:
        while not self._over.is_set():
            if self._goes.wait(_POLL_SECONDS):
                self._over.wait(self._every if self._one() else max(self._every, AFTER_FAULT_SECONDS))

    def _one(self) -> bool:
        """One generation; False if it failed."""
        call = _Call(self._client.connection(self._silence))
        with self._lock:
            if not self._goes.is_set():
                return True
            self._calls.add(call)
            self._count += 1
            number = self._count
        try:
            fault = self._generate(call, self._body(number))
        finally:
            call.connection.close()
            with self._lock:
                self._calls.discard(call)
        if call.cancelled:
            return True
        if fault:
            self.faults.append(fault)
        else:
            self.generations += 1
        return fault is None

    def _generate(self, call: _Call, body: dict[str, Any]) -> str | None:
        """One generation to its end; what went wrong, if anything did.

        An engine that is silent is no fault here: whether it makes tokens for others is for the watch to say.
        """
        reply = Reply()
        try:
            text = json.dumps({**body, "stream": True})
            call.connection.request("POST", "/v1/chat/completions", text, self._client.headers())
            response = call.connection.getresponse()
            if response.status != 200:
                return (
                    f"HTTP {response.status}: {response.read(500).decode('utf-8', errors='replace').strip()}"
                )
            reply.read(sse.events(self._lines(call, response)))
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as broken:
            return f"the connection broke: {broken or type(broken).__name__}"
        return reply.error or (None if reply.ended else "the stream ended without [DONE]")

    def _lines(self, call: _Call, response: http.client.HTTPResponse) -> Iterator[bytes]:
        for line in lines(response):
            if call.cancelled:
                return
            self.pieces += line.startswith(b"data:")  # a comment keeps a connection open, and is no answer
            yield line
