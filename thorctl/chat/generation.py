"""One generation of a device's model, streamed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from thorctl.chat.stream import ChatStream, StreamError, error_message
from thorctl.errors import ThorError
from thorctl.protocol import foreign_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.chat.stream import Event
    from thorctl.remote.tunnel import Engine


STREAM_CHARACTERS = 256 << 20  # limit of one stream: a million tokens in events of some 250 characters
REFUSAL_BYTES = 1 << 20  # limit of an error's body


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a generation. None is the server's default."""

    thinking: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(slots=True)
class Conversation:
    """The conversation so far, without thinking, which the model's chat template drops too."""

    settings: Settings
    messages: list[dict[str, str]] = field(default_factory=list)

    def request(self, model: str, prompt: str) -> dict[str, Any]:
        """Return the body of the request for the next answer."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [*self.messages, {"role": "user", "content": prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.settings.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": self.settings.thinking}
        if self.settings.max_tokens is not None:
            body["max_tokens"] = self.settings.max_tokens
        if self.settings.temperature is not None:
            body["temperature"] = self.settings.temperature
        return body

    def remember(self, prompt: str, answer: str) -> None:
        """Append a finished exchange."""
        self.messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished generation; ``seconds`` from request to last byte, ``first_seconds`` to the first piece."""

    thinking: str
    answer: str
    usage: dict[str, Any] | None
    finish_reason: str | None
    seconds: float
    first_seconds: float | None


async def generate(
    engine: Engine, conversation: Conversation, prompt: str, show: Callable[[Event], None]
) -> Generation:
    """Send ``prompt`` and pass every piece of the answer to ``show``; remember the exchange.

    Raises:
        ThorError: ``engine_refused`` (an HTTP error), ``engine_error`` (inside a stream that began with
            200), ``stream_cut``, ``stream_garbage``, ``engine_silent``.
    """
    stream, started, first = ChatStream(), time.monotonic(), None
    body = conversation.request(engine.model, prompt)
    try:
        async with engine.client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _failed(engine.device, "stream_garbage", "The engine compresses its answer.")
            if response.status_code != httpx.codes.OK:
                raise await _refused(engine.device, response)
            size = 0
            async for text in response.aiter_text():
                size += len(text)
                if size > STREAM_CHARACTERS:
                    words = f"The engine sent more than {STREAM_CHARACTERS} characters for one answer."
                    raise _failed(engine.device, "stream_garbage", words)
                for event in stream.feed(text):
                    first = first or time.monotonic() - started
                    _pass_on(engine.device, event, show)
    except httpx.TimeoutException:
        raise _failed(engine.device, "engine_silent", "The engine stopped sending.") from None
    except httpx.TransportError as error:
        raise _failed(engine.device, "stream_cut", f"The connection to the engine failed: {error}") from None
    for event in stream.finish():
        _pass_on(engine.device, event, show)
    conversation.remember(prompt, stream.answer)
    return Generation(
        stream.thinking,
        stream.answer,
        stream.usage,
        stream.finish_reason,
        seconds=round(time.monotonic() - started, 3),
        first_seconds=None if first is None else round(first, 3),
    )


def _pass_on(device: str, event: Event, show: Callable[[Event], None]) -> None:
    if isinstance(event, StreamError):
        raise _failed(device, event.code, event.message)
    show(event)


async def _refused(device: str, response: httpx.Response) -> ThorError:
    raw = b""
    async for piece in response.aiter_bytes():
        raw += piece
        if len(raw) > REFUSAL_BYTES:
            break
    try:
        message = error_message(foreign_json.read(raw))
    except (ValueError, AttributeError):
        message = raw[:200].decode(errors="replace") or response.reason_phrase
    remedy = f"Read the engine's log: `thorctl logs {device} --engine`."
    if response.status_code == httpx.codes.UNAUTHORIZED:
        remedy = "Set the environment variable THORCTL_API_KEY to the device's VLLM_API_KEY."
    return ThorError(
        "engine_refused",
        f"The engine answered {response.status_code}: {message}.",
        remedy,
        device=device,
    )


def _failed(device: str, code: str, message: str) -> ThorError:
    return ThorError(
        code, message, f"Read the engine's log: `thorctl logs {device} --engine`.", device=device
    )
