"""Requests of the smoke test for the engine's API features, and checks of the answers.

Only the form is checked, except for ``long_prompt_answer``: a schema, a call, finite numbers.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from thorctl.agent.smoke.judge import printable_fault, repetition_fault
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.agent.engine.chat_stream import Reply

PASSED, FAILED, NOT_ASKED = "passed", "failed", "not_asked"

LOGPROBS = "logprobs"
STRUCTURED = "structured_output"
TOOL_CALL = "tool_call"
LONG_PROMPT = "long_prompt"
LONG_ANSWER = "long_prompt_answer"
CANCELLED = "cancelled_stream"
NAMES = (LOGPROBS, STRUCTURED, TOOL_CALL, LONG_PROMPT, LONG_ANSWER, CANCELLED)

_LOGPROBS_TOKENS = 8
_TOP = 2
_ROUNDING = 1e-3  # a log-probability may be a little above zero
# Three quarters of the context, bounded: a Thor processes some thousand prompt tokens per second.
_LONG_SHARE, _LONG_TOKENS = 0.75, 16384
_CHUNK_MARGIN = 1.25  # times max-num-batched-tokens, so that the prompt takes more than one step
_ROOM = 160  # tokens for the question, the chat template and a short answer beside the records
_SAMPLE_LINES = 5
_CANCEL_SHARE = 0.5  # of the context: far more than is generated before the disconnect is detected


@dataclass(frozen=True)
class Result:
    """The result of a check by its stable name; ``reason``: the observation, or why it was not run."""

    name: str
    result: str
    reason: str
    seconds: float = 0.0


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "London", "Madrid"]},
        "capital": {"type": "boolean"},
    },
    "required": ["city", "capital"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a file and returns its text.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "Path of the file."}},
            "required": ["path"],
        },
    },
}


def reason_not_to_ask(name: str, smoke: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """Return why ``name`` is not tested with this smoke and these options; None if it is."""
    if "not_asked" not in smoke:
        return "the release was rendered by an earlier thorctl without this feature"
    if reason := smoke["not_asked"].get(name):
        return f"the profile's reason: {reason}"
    if name == TOOL_CALL and not options.get("tool-call-parser"):
        return "the profile has no tool-call-parser"
    if name == CANCELLED and options.get("disable-log-stats"):
        return "the profile sets disable-log-stats, so the engine does not report running requests"
    if name == LOGPROBS and options.get("max-logprobs") == 0:
        return "the profile sets max-logprobs: 0"
    return None


def logprobs_body() -> dict[str, Any]:
    """Return a request for log-probabilities."""
    return _body("What is 2 + 2?", _LOGPROBS_TOKENS, logprobs=True, top_logprobs=_TOP)


def structured_body(tokens: int) -> dict[str, Any]:
    """Return a request whose answer must fit ``SCHEMA``; ``tokens`` include mandatory thinking."""
    form = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}}
    return _body("Which city is the capital of France? Answer as JSON.", tokens, response_format=form)


def tool_body(tokens: int) -> dict[str, Any]:
    """Return a request that a model answers by calling ``TOOL``; ``tokens`` as in ``structured_body``."""
    asked = "Read the file /etc/hostname with the tool read_file."
    return _body(asked, tokens, tools=[TOOL], tool_choice="auto")


def cancel_body(context: int) -> dict[str, Any]:
    """Return a request for a long generation."""
    return _body("Count from one upwards.", int(context * _CANCEL_SHARE), ignore_eos=True)


def long_tokens(context: int, options: Mapping[str, Any]) -> int:
    """Return the length of the long prompt in tokens."""
    chunk = options.get("max-num-batched-tokens")
    step = _CHUNK_MARGIN * chunk if isinstance(chunk, int) else 0
    return int(min(_LONG_SHARE * context, context - _ROOM, max(_LONG_TOKENS, step)))


def long_sample_body() -> dict[str, Any]:
    """Return a short request of the same lines, whose usage reveals the tokens per line."""
    return _body(_records(_SAMPLE_LINES), 1)


def lines_for(tokens: int, sample_tokens: int) -> int:
    """Return the number of lines with about ``tokens``, if ``_SAMPLE_LINES`` have ``sample_tokens``."""
    return max(_SAMPLE_LINES, tokens * _SAMPLE_LINES // max(sample_tokens, 1))


def long_body(lines: int, tokens: int) -> dict[str, Any]:
    """Return a question about the middle one of ``lines`` records; answer of at most ``tokens``."""
    wanted = lines // 2
    asked = f"{_records(lines)}\nWhich code does record {wanted} have? Answer with the code only."
    return _body(asked, tokens)


def long_answer_tokens(context: int, prompt: int, most: int) -> int:
    """Return the longest answer in tokens to a prompt of ``prompt`` tokens."""
    return max(1, min(most, context - prompt - _ROOM // 2))


def _records(lines: int) -> str:
    return "\n".join(f"Record {number} has the code {_code(number)}." for number in range(1, lines + 1))


def _code(number: int) -> int:
    return 1000 + number * 7919 % 9000


def _body(asked: str, tokens: int, **more: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": asked}],
        "max_tokens": tokens,
        "temperature": 0,
        "chat_template_kwargs": {"enable_thinking": False},
        **more,
    }


def broken(reply: Reply) -> str | None:
    """Return the general fault of a reply: an error, an incomplete stream, nonsense text; None if sound."""
    if reply.error:
        return reply.error
    if not reply.ended:
        return "the stream stopped without [DONE]"
    if not reply.tokens:
        return f"usage.completion_tokens is {reply.tokens}"
    return printable_fault(reply.content) or repetition_fault(reply.content)


def logprobs_fault(reply: Reply) -> str | None:
    """Return the fault of log-probabilities, such as the NaN of broken kernels; None if sound."""
    if not reply.logprobs:
        return "no token has a log-probability"
    for number, entry in enumerate(reply.logprobs):
        found = [entry, *(entry.get("top_logprobs") or [])] if isinstance(entry, dict) else []
        values = [one.get("logprob") for one in found if isinstance(one, dict)]
        if len(values) < 2 or not all(isinstance(one, int | float) and _is_log(one) for one in values):
            return f"token {number} has the log-probabilities {values}"
    return None


def _is_log(value: float) -> bool:
    return math.isfinite(value) and value <= _ROUNDING


def structured_fault(reply: Reply) -> str | None:
    """Return the fault of an answer that must fit ``SCHEMA``; None if sound."""
    try:
        found = json.loads(reply.content)
    except (ValueError, RecursionError):
        return f"the answer is not JSON: {reply.content[:80]!r}, finish_reason {reply.finish_reason!r}"
    properties: dict[str, Any] = SCHEMA["properties"]  # type: ignore[assignment]
    cities = properties["city"]["enum"]
    fits = (
        isinstance(found, dict)
        and set(found) == set(properties)
        and found["city"] in cities
        and isinstance(found["capital"], bool)
    )
    return None if fits else f"the answer does not fit the schema: {reply.content[:80]!r}"


def tool_fault(reply: Reply) -> str | None:
    """Return the fault of an answer that must be a call of ``TOOL``; None if sound."""
    if not reply.calls:
        return f"the answer has no call: {reply.content[:80]!r}"
    call = reply.calls[min(reply.calls)]
    try:
        path = json.loads(call.arguments)["path"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"the arguments are {call.arguments[:80]!r}"
    if call.name != "read_file" or not isinstance(path, str):
        return f"the call is {call.name[:40]!r} with {call.arguments[:80]!r}"
    if reply.finish_reason != "tool_calls":
        return f"finish_reason is {reply.finish_reason!r}, not 'tool_calls'"
    return None


def long_fault(reply: Reply, wanted: int) -> str | None:
    """Return the fault of the reply to a prompt of about ``wanted`` tokens; None if sound."""
    taken = reply.prompt_tokens
    if not isinstance(taken, int) or taken < wanted / 2:
        return f"usage.prompt_tokens is {taken}, for a prompt of about {wanted}"
    return None if reply.content.strip() or reply.reasoning.strip() else "the answer is empty"


def long_answer_fault(reply: Reply, lines: int) -> str | None:
    """Return a fault unless the answer has the code of the prompt."""
    code = str(_code(lines // 2))
    return None if code in reply.content else f"the code {code} is not in the answer {reply.content[:80]!r}"


def tally(name: str, passed: int, failed: int, detail: str | None) -> Result:
    """Combine the results of one check over the generations."""
    if failed:
        return Result(name, FAILED, f"{failed} of {counted(passed + failed, 'generation')}: {detail}")
    return Result(name, PASSED, counted(passed, "generation"))


def failed(results: Sequence[Result]) -> list[Result]:
    """Return the failed results."""
    return [one for one in results if one.result == FAILED]
