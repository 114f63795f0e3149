"""What a client makes of an answer, however it came: content, reasoning, calls, and why it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwable_tool_calls import Call, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class View:
    """``calls`` are name, arguments and the id that the model gave; ``id`` is None where it gave none."""

    content: str
    reasoning: str
    calls: tuple[tuple[str, dict[str, Any], str | None], ...]
    finish_reason: str


def of_choice(choice: Mapping[str, Any], given: set[str]) -> View:
    """A choice of an answer that came whole; ``given``: the ids that the model wrote."""
    message = choice["message"]
    return View(
        message["content"] or "",
        message.get("reasoning") or "",
        tuple(_call(call["id"], call["function"], given) for call in message.get("tool_calls") or ()),
        choice["finish_reason"],
    )


def of_chunks(chunks: Iterable[Mapping[str, Any]], given: set[str]) -> View:
    """The same of a stream; its calls may come in parts, by index."""
    content = reasoning = finish_reason = ""
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            content += delta.get("content") or ""
            reasoning += delta.get("reasoning") or ""
            finish_reason = choice.get("finish_reason") or finish_reason
            for part in delta.get("tool_calls") or ():
                call = calls.setdefault(part["index"], {"id": None, "name": "", "arguments": ""})
                call["id"] = call["id"] or part.get("id")
                for key in ("name", "arguments"):
                    call[key] += part["function"].get(key) or ""
    assert list(calls) == list(range(len(calls)))
    return View(
        content, reasoning, tuple(_call(call["id"], call, given) for call in calls.values()), finish_reason
    )


def meant(said: str, finish_reason: str = "stop") -> View:
    """What the parser's core makes of an answer with its thinking: each way through vLLM must come to it."""
    thought, _, rest = said.rpartition("</think>")
    reader = Reader()
    found = [*reader.feed(rest), *reader.finish()]
    calls = tuple((one.name, json.loads(one.arguments), one.id) for one in found if isinstance(one, Call))
    content = "".join(one for one in found if isinstance(one, str))
    return View(content, thought, calls, "tool_calls" if calls else finish_reason)


def _call(ident: str, function: Mapping[str, Any], given: set[str]) -> tuple[str, dict[str, Any], str | None]:
    assert ident, "no client can answer a call without an id"
    return function["name"], json.loads(function["arguments"]), ident if ident in given else None
