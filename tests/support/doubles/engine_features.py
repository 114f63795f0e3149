"""What the light engine says to requests of the interface's features. Standard library only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = 2048
LONG_CHARACTERS = 2000
CHARACTERS_PER_TOKEN = 12  # so that a prompt for CONTEXT is long enough to tell, and small enough to send
WRONG = "I would rather talk about gardening."
_FIRST_SEEDS = 1000  # a smoke's first attempts have smaller ones


def missed(mode: str, request: int, seed: int) -> bool:
    """Whether this request, counted from one, is answered wrongly."""
    wrong = {"misses_once": (1,), "misses_two": (1, 2)}.get(mode, ())
    return request in wrong and seed < _FIRST_SEEDS


def pieces(body: dict[str, Any], mode: str) -> Iterator[dict[str, Any]] | None:
    """The chunks of the stream, usage last; None for a request without such a feature."""
    prompt = str(body["messages"][-1]["content"])
    if body.get("logprobs"):
        return _stream(prompt, [_with_logprobs(mode)], mode=mode)
    if body.get("response_format") and mode != "schema_ignored":
        return _stream(prompt, [{"delta": {"content": '{"city": "Paris", "capital": true}'}}], mode=mode)
    if body.get("tools") and mode != "no_calls":
        arguments = '{"path": "/etc/hos' if mode == "half_call" else '{"path": "/etc/hostname"}'
        halves = [{"name": "read_file", "arguments": ""}, {"arguments": arguments}]
        calls = [{"delta": {"tool_calls": [{"index": 0, "function": half}]}} for half in halves]
        return _stream(prompt, calls, mode=mode, finish="tool_calls")
    if prompt.startswith("Record 1 "):
        return _stream(prompt, [{"delta": {"content": _code(prompt, mode)}}], mode=mode)
    return None


def _code(prompt: str, mode: str) -> str:
    asked = re.search(r"Which code does record (\d+) have", prompt)
    found = asked and re.search(rf"Record {asked[1]} has the code (\d+)", prompt)
    return f"It is {found[1]}." if found and mode != "long_forgotten" else "It is not known to me."


def _with_logprobs(mode: str) -> dict[str, Any]:
    value = float("nan") if mode == "logprobs_nan" else -0.25
    entry = {"token": "4", "logprob": value, "top_logprobs": [{"token": "4", "logprob": value}]}
    shown = {} if mode == "logprobs_missing" else {"logprobs": {"content": [entry]}}
    return {"delta": {"content": "4"}, **shown}


def _stream(
    prompt: str, choices: list[dict[str, Any]], *, mode: str, finish: str = "stop"
) -> Iterator[dict[str, Any]]:
    for choice in choices:
        yield {"choices": [{"index": 0, "finish_reason": None, **json.loads(json.dumps(choice))}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    taken = min(len(prompt), 1000 if mode == "long_cut" else len(prompt)) // CHARACTERS_PER_TOKEN + 1
    yield {
        "choices": [],
        "usage": {"prompt_tokens": taken, "completion_tokens": 4, "total_tokens": taken + 4},
    }
