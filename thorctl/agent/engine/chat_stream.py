"""Parse the events of a streamed chat completion into one record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thorctl.protocol import foreign_json

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = "[DONE]"
ABORTED = "abort"  # vLLM's finish reason when it stops during a generation, after HTTP 200


@dataclass
class ToolCall:
    """One tool call, its pieces joined; ``arguments`` is the text that the engine sent."""

    name: str = ""
    arguments: str = ""


@dataclass
class Reply:
    """A streamed answer, possibly incomplete.

    Attributes:
        reasoning, content: the deltas joined.
        tokens, prompt_tokens: usage.completion_tokens and prompt_tokens of the last chunk with usage.
        logprobs: the entries of logprobs.content, one per token, if requested.
        calls: tool calls by their index.
        finish_reason: that of the first choice.
        ended: [DONE] was received.
        error: the message of the error object, or of the connection's failure.
        seconds: duration, set by the client.
    """

    reasoning: str = ""
    content: str = ""
    tokens: int | None = None
    prompt_tokens: int | None = None
    logprobs: list[Any] = field(default_factory=list)
    calls: dict[int, ToolCall] = field(default_factory=dict)
    finish_reason: str | None = None
    ended: bool = False
    error: str | None = None
    seconds: float = 0.0

    def read(self, events: Iterable[str]) -> None:
        """Read events until [DONE], an error, or the end of the stream."""
        for data in events:
            if data.strip() == DONE:
                self.ended = True
                return
            try:
                chunk: Any = foreign_json.read(data)
            except ValueError:
                self.error = f"an event is not JSON: {data[:200]!r}"
                return
            # vLLM reports a failure during a stream in its body: status 200 has been sent.
            if not isinstance(chunk, dict) or chunk.get("error") or chunk.get("object") == "error":
                self.error = error_message(chunk)
                return
            try:
                self._take(chunk)
            except (AttributeError, TypeError):
                self.error = f"an event is not a chat completion chunk: {data[:200]!r}"
            if self.error is not None:
                return

    def _take(self, chunk: dict[str, Any]) -> None:
        usage = chunk.get("usage")
        if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
            self.tokens = usage["completion_tokens"]
            self.prompt_tokens = usage.get("prompt_tokens")
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            # 0.19 to 0.32 stream `reasoning`; older and other engines `reasoning_content`.
            self.reasoning += delta.get("reasoning") or delta.get("reasoning_content") or ""
            self.content += delta.get("content") or ""
            self.logprobs += (choice.get("logprobs") or {}).get("content") or []
            for call in delta.get("tool_calls") or []:
                made, said = (
                    self.calls.setdefault(call.get("index", 0), ToolCall()),
                    call.get("function") or {},
                )
                made.name += said.get("name") or ""
                made.arguments += said.get("arguments") or ""
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if self.finish_reason == ABORTED:
                self.error = "the engine stopped before the answer was complete (abort)"


def error_message(body: object) -> str:
    """Return the message of an OpenAI-style error document; the error may be nested or not."""
    inner = body.get("error") if isinstance(body, dict) and body.get("error") else body
    if isinstance(inner, dict) and inner.get("message"):
        return str(inner["message"])[:500]
    return json.dumps(inner, ensure_ascii=False)[:500]
