"""Parse a streamed chat completion: server-sent events in, thinking and answer out.

Source: WHATWG "Server-sent events" for the framing; vLLM's OpenAI-compatible server for the objects. vLLM
answers HTTP 200 first and reports a failing generation inside the stream, so an error event is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thorctl.protocol import foreign_json
from thorctl.protocol.sse import EventReader
from thorctl.protocol.think_tags import ThinkTags

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = "[DONE]"
ABORTED = "abort"  # vLLM's finish reason when it stops or restarts during a generation


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of the model's answer."""

    text: str


@dataclass(frozen=True, slots=True)
class StreamError:
    """A failed generation."""

    code: str
    message: str


Event = Thinking | Answer | StreamError


class EventLines:
    """Split a text stream into the ``data`` of its events, wherever the pieces break."""

    def __init__(self) -> None:
        self._rest = ""
        self._events = EventReader()

    def feed(self, text: str) -> Iterator[str]:
        """Return the ``data`` of every event that ``text`` completes."""
        self._rest += text
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            data = self._events.take(line)
            if data is not None:
                yield data

    @property
    def unfinished(self) -> bool:
        """Whether the stream ended inside an event."""
        return bool(self._rest.strip()) or self._events.unfinished


@dataclass(slots=True)
class ChatStream:
    """One completion. ``finish`` reports what is missing after the last piece."""

    thinking: str = ""
    answer: str = ""
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    error: StreamError | None = None
    _done: bool = False
    _lines: EventLines = field(default_factory=EventLines)
    _tags: ThinkTags = field(default_factory=ThinkTags)

    def feed(self, text: str) -> list[Event]:
        """Return the events that ``text`` completes; none after an error."""
        events: list[Event] = []
        for data in self._lines.feed(text):
            if self.error or self._done:
                break
            events += self._read(data)
        return events

    def finish(self) -> list[Event]:
        """Return withheld text after the stream's end, and an error if it ended too early."""
        events = self._content(self._tags.flush())
        if self.error is None and not (self._done and self.finish_reason):
            said = "its end" if self._lines.unfinished else "a finish reason and [DONE]"
            events.append(self._fail("stream_cut", f"The stream closed before {said}."))
        return events

    def _read(self, data: str) -> list[Event]:
        if data.strip() == DONE:
            self._done = True
            return []
        try:
            return self._chunk(foreign_json.read(data))
        except (ValueError, AttributeError, KeyError, TypeError):  # not JSON, or of another shape
            return [self._fail("stream_garbage", f"The engine sent a malformed event: {data[:120]!r}.")]

    def _chunk(self, chunk: dict[str, Any]) -> list[Event]:
        if chunk.get("error") or chunk.get("object") == "error":
            return [self._fail("engine_error", error_message(chunk))]
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        choices = chunk.get("choices") or []
        return self._choice(choices[0]) if choices else []

    def _choice(self, choice: dict[str, Any]) -> list[Event]:
        delta = choice.get("delta") or {}
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if self.finish_reason == ABORTED:
            return [
                self._fail("engine_aborted", "The engine stopped before the answer was complete (abort).")
            ]
        # vLLM 0.19 and later name it `reasoning`; other servers `reasoning_content`.
        thought = delta.get("reasoning") or delta.get("reasoning_content") or ""
        pieces = [(True, thought)] if thought else []
        return self._content(pieces + self._tags.feed(delta.get("content") or ""))

    def _content(self, pieces: list[tuple[bool, str]]) -> list[Event]:
        events: list[Event] = []
        for is_thinking, text in pieces:
            if is_thinking:
                self.thinking += text
                events.append(Thinking(text))
            else:
                self.answer += text
                events.append(Answer(text))
        return events

    def _fail(self, code: str, message: str) -> StreamError:
        self.error = StreamError(code, message)
        return self.error


def error_message(body: dict[str, Any]) -> str:
    """Return the message of vLLM's error object, in the stream or as a whole body."""
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error or body.get("message") or body)
