"""Check the text of a generation; HTTP status 200 alone proves nothing."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from thorctl.agent.smoke.repetition import find_repetition
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.think_tags import CLOSE, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MARKERS = (OPEN, CLOSE)
_MISSES = frozenset({"known_answer", "finished", "thinking_closed", "not_empty"})
# Unicode categories without a glyph: control, surrogate, private use. Not "unassigned", which depends on the
# version of the device's Python.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Co"})


@dataclass(frozen=True)
class Generation:
    """One prompt and its answer.

    Attributes:
        prompt_name, prompt, thinking, expect: as in the profile's smoke.prompts.
        reasoning: the thinking, without its markers.
        answer: the text after the thinking.
        tokens: usage.completion_tokens; None if missing.
        seconds: from the request to the end of the stream.
        finish_reason: the engine's; None if missing.
        ended: the stream's [DONE] was received.
        error: the error of the engine or the connection, if any.
    """

    prompt_name: str
    prompt: str
    thinking: bool
    expect: str | None
    reasoning: str
    answer: str
    tokens: int | None
    seconds: float
    finish_reason: str | None
    ended: bool
    error: str | None


@dataclass(frozen=True)
class FailedCheck:
    """A failed check: its stable name, and the observation."""

    check: str
    detail: str


def judge(generation: Generation) -> list[FailedCheck]:
    """Return the failed checks, the most informative first; [] if the generation is right."""
    details = ((name, check(generation)) for name, check in CHECKS.items())
    return [FailedCheck(name, detail) for name, detail in details if detail is not None]


def judge_together(generations: Sequence[Generation]) -> list[FailedCheck]:
    """Check all generations together: an engine must not give the same answer to every prompt."""
    prompts = {generation.prompt for generation in generations}
    answers = {generation.answer.strip() for generation in generations}
    if len(prompts) > 1 and len(answers) == 1:
        return [
            FailedCheck("different_answers", f"{len(prompts)} prompts got one answer: {answers.pop()[:80]!r}")
        ]
    return []


def may_be_asked_again(generation: Generation) -> bool:
    """Return whether a sound engine can occasionally fail these checks.

    A wrong or missing answer, or one that reached the token limit, can occur. Signs of broken kernels,
    weights or templates (repetition, unprintable text, an error, an incomplete stream, a stray marker)
    cannot.
    """
    names = {entry.check for entry in judge(generation)}
    stray = any(marker in generation.answer + generation.reasoning for marker in _MARKERS)
    return bool(names) and names <= _MISSES and generation.finish_reason in ("stop", "length") and not stray


def count_checks(failed: Iterable[Sequence[FailedCheck]]) -> dict[str, dict[str, int]]:
    """Return check → {"passed": n, "failed": n} over the failed checks of each generation."""
    lists = [{entry.check for entry in entries} for entries in failed]
    return {
        name: {
            "passed": sum(name not in names for names in lists),
            "failed": sum(name in names for names in lists),
        }
        for name in CHECKS
    }


def _no_error(generation: Generation) -> str | None:
    return generation.error


def _stream_ended(generation: Generation) -> str | None:
    return None if generation.ended else "the stream stopped without [DONE]"


def _finished(generation: Generation) -> str | None:
    if generation.finish_reason == "stop":
        return None
    if generation.finish_reason == "length":
        return "cut off at the token limit (finish_reason length)"
    return f"finish_reason is {generation.finish_reason!r}, expected 'stop'"


def _thinking_closed(generation: Generation) -> str | None:
    stray = [marker for marker in _MARKERS if marker in generation.answer or marker in generation.reasoning]
    if stray:
        return f"stray {' and '.join(stray)} in the text"
    if generation.thinking and not generation.reasoning.strip():
        return "thinking was requested and is missing"
    if generation.reasoning.strip() and not generation.answer.strip():
        return "the thinking has no end: there is no answer after it"
    return None


def _not_empty(generation: Generation) -> str | None:
    return None if generation.answer.strip() else "the answer is empty"


def printable_fault(text: str, name: str = "answer") -> str | None:
    """Return the first unprintable character and its position; None if there is none."""
    for position, character in enumerate(text):
        if character in "\n\r\t":
            continue
        if character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character) in _UNPRINTABLE:
            return f"U+{ord(character):04X} at position {position} of the {name}"
    return None


def repetition_fault(text: str, name: str = "answer") -> str | None:
    """Return the repeated part of a text that loops; None if it does not."""
    repeated = find_repetition(text)
    return None if repeated is None else f"the {name} repeats {repeated}"


def _printable(generation: Generation) -> str | None:
    return printable_fault(generation.answer) or printable_fault(generation.reasoning, "thinking")


def _not_repeated(generation: Generation) -> str | None:
    return repetition_fault(generation.answer) or repetition_fault(generation.reasoning, "thinking")


def _known_answer(generation: Generation) -> str | None:
    if generation.expect is None:
        return None
    try:
        found = re.search(generation.expect, generation.answer)
    except re.error as error:
        return f"the profile's pattern {generation.expect!r} is not a regular expression: {error}"
    return None if found else f"nothing in the answer matches {generation.expect!r}"


def _usage(generation: Generation) -> str | None:
    return None if generation.tokens else f"usage.completion_tokens is {generation.tokens}"


# In the order of reporting: causes first, then the text.
CHECKS: dict[str, Callable[[Generation], str | None]] = {
    "no_error": _no_error,
    "stream_ended": _stream_ended,
    "printable": _printable,
    "not_repeated": _not_repeated,
    "thinking_closed": _thinking_closed,
    "not_empty": _not_empty,
    "known_answer": _known_answer,
    "finished": _finished,
    "usage": _usage,
}
