"""Concurrent streams of generations, one after another on each, until they are paused or ended."""

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
        """Close the connection, upon which the engine drops the request."""
        self.cancelled = True
        with suppress(OSError, AttributeError):  # not connected yet: it checks `cancelled` afterwards
            self.connection.sock.shutdown(socket.SHUT_RDWR)


class Streams:
    """A set of streams, initially paused.

    Attributes:
        generations: number of completed generations.
        pieces: number of received pieces of answers.
        faults: failures of generations that were not cancelled.
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
        """``body`` returns the request of a number; ``every_seconds``: pause after each generation."""
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
        """Return the number of requests in flight."""
        return len(self._calls)

    def resume(self) -> None:
        """Start or continue all streams."""
        self._goes.set()

    def pause(self) -> None:
        """Cancel the requests in flight, and start none until ``resume``."""
        with self._lock:
            self._goes.clear()
            for call in self._calls:
                call.cancel()

    def end(self) -> None:
        """Cancel the requests in flight and stop all streams permanently."""
        self._over.set()
        self.pause()

    def _run(self) -> None:
        while not self._over.is_set():
            if self._goes.wait(_POLL_SECONDS):
                self._over.wait(self._every if self._one() else max(self._every, AFTER_FAULT_SECONDS))

    def _one(self) -> bool:
        """Run one generation; return False if it failed."""
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
        """Run one generation to its end; return its failure, or None.

        A silent engine is no failure here: the watch decides whether it generates tokens for others.
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
            self.pieces += line.startswith(b"data:")  # a comment is a keep-alive, not a piece
            yield line
