"""Find tool calls in the output of Qwable-v1: text in, text and calls out, in any number of pieces.

Standard library only, no vLLM. `qwable_tool_parser.py` is the part that vLLM loads, `qwable_call_body.py`
parses the body of a block.

The trained form; docs/reference/tool-calls.md lists the other accepted ones::

    <tool_use name="Read" id="toolu_01">
    {"file_path": "/srv/server.py"}
    </tool_use>

Rules, the same for complete and for streamed text:

- A block is a call or text. This is decided at its end, so nothing sent to a client is retracted. A block
  that is no call stays in the text unchanged.
- A closing tag inside a JSON string or a parameter does not close the block.
- If the output ends before ``</tool_use>`` (stop strings), a complete body is a call.
- White space between and around calls is dropped; between two pieces of text it is kept.
- Text in ``<think>…</think>`` at the beginning is never a call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwable_call_body import Call, inside_value, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Call", "Reader"]


class Reader:
    """Parser of one answer of the model.

    ``schemas``, tool name to the JSON schema of its arguments, defines the types of XML parameters. ``taken``
    are the ids of earlier calls in the conversation: a call that repeats one loses its id, because results
    could not be assigned.
    """

    def __init__(
        self, schemas: Mapping[str, Mapping[str, Any]] | None = None, taken: set[str] | None = None
    ) -> None:
        self._schemas = schemas or {}
        self._taken = set(taken or ())
        self._rest = ""  # undecided text
        self._searched = 0  # index in _rest before which no closing tag ends
        self._thinking = self._spoken = False
        self._space = _Space()

    def feed(self, text: str) -> list[str | Call]:
        """Add text; return what is decided. Adjacent texts belong together."""
        self._rest += text
        return self._space.settle(self._read(ended=False), ended=False)

    def finish(self) -> list[str | Call]:
        """Return the undecided rest at the end of the output. The reader cannot be used afterwards."""
        return self._space.settle(self._read(ended=True), ended=True)

    @property
    def holds(self) -> bool:
        """Return whether ``finish`` may return something."""
        return bool(self._rest) or self._space.holds

    def _read(self, *, ended: bool) -> Iterator[str | Call]:
        while self._rest:
            if self._thinking:
                end = self._rest.find(_THINK_END)
                self._thinking = end < 0
                if end < 0:
                    yield self._take(len(self._rest) - (0 if ended else _overlap(self._rest, _THINK_END)))
                    return
                yield self._take(end + len(_THINK_END))
            elif (mark := _MARK.search(self._rest)) is None:
                yield self._take(len(self._rest) - (0 if ended else _half_mark(self._rest)))
                return
            elif mark.start():
                yield self._take(mark.start())
            elif mark["think"]:
                self._thinking = not self._spoken
                yield self._take(mark.end())
            elif (block := self._block(ended=ended)) is None:
                return
            else:
                text = self._take(block.length)
                yield text if block.call is None else self._with_usable_id(block.call)

    def _take(self, length: int) -> str:
        text, self._rest = self._rest[:length], self._rest[length:]
        self._searched = 0
        self._spoken = self._spoken or bool(text.strip())
        return text

    def _with_usable_id(self, call: Call) -> Call:
        if call.id is None or call.id in self._taken or not _ID.fullmatch(call.id):
            return Call(call.name, call.arguments, None)
        self._taken.add(call.id)
        return call

    def _block(self, *, ended: bool) -> _Block | None:
        """Return the block at the beginning of the rest; None if later text decides."""
        opening = _OPENING.match(self._rest)
        if opening is None:
            wait = not ended and _HALF_OPENING.match(self._rest)
            return None if wait else _Block(len("<tool_"), None)
        attributes = {found[1]: found[2][1:-1] if found[2][0] in "\"'" else found[2]
                      for found in _ATTRIBUTES.finditer(opening[2])}  # fmt: skip
        start = opening.end()
        refused = _Block(start, None)  # the tag is text; its content may hold calls
        if opening[3]:
            call = read(attributes, "", self._schemas)
            return _Block(start, call) if call else refused
        at = max(start, self._searched)
        while closing := _CLOSING[opening[1]].search(self._rest, at):
            body = self._rest[start : closing.start()]
            if not inside_value(body):
                call = read(attributes, body, self._schemas)
                return _Block(closing.end(), call) if call else refused
            at = closing.end()
        if not ended:
            self._searched = max(at, len(self._rest) - _LONGEST_CLOSING)
            return None
        body = _HALF_CLOSING[opening[1]].sub("", self._rest[start:])
        call = read(attributes, body, self._schemas) if body.strip() else None
        return _Block(len(self._rest), call) if call else refused


@dataclass(frozen=True)
class _Block:
    length: int  # characters of the rest
    call: Call | None  # None: the characters are text


class _Space:
    """Drop white space that only separates calls, also if it arrives apart from them."""

    def __init__(self) -> None:
        self._held = ""  # white space since the last word
        self._after_call = self._said = False

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def settle(self, found: Iterator[str | Call], *, ended: bool) -> list[str | Call]:
        out: list[str | Call] = []
        for piece in found:
            if isinstance(piece, Call):
                self._after_call = True
                out.append(piece)
            elif words := self._words(piece):
                out.append(words)
        if ended and self._held and not self._after_call:
            out.append(self._held)
        return out

    def _words(self, piece: str) -> str:
        text = self._held + piece
        words = text.rstrip()
        self._held = text[len(words) :]
        if not words:
            return ""
        if self._after_call and not self._said:
            words = words.lstrip()
        self._said, self._after_call = True, False
        return words


# ------------------------------------------------------------------------------------------------------------
# The tags. An incomplete tag must be distinguished from text that cannot become one.

_THINK_END = "</think>"
_MARK = re.compile(r"<tool_(?:use|call)(?=[\s/>])|(?P<think><think>)")
_MARKS = ("<tool_use", "<tool_call", "<think>")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # valid in Anthropic's API

_KEY = r"[A-Za-z_][\w.:-]*"
_ATTRIBUTE = rf"\s+({_KEY})\s*=\s*(\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'<>=/]+)"
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_SOME = re.sub(r"\((?!\?)", "(?:", f"(?:{_ATTRIBUTE})*")  # the same without groups
_OPENING = re.compile(rf"<(tool_use|tool_call)({_SOME})\s*(/?)>")
_HALF_OPENING = re.compile(
    rf"<tool_(?:use|call){_SOME}"
    rf"(?:\s*/?|\s+{_KEY}\s*(?:=\s*(?:\"[^\"\n]*|'[^'\n]*|[^\s\"'<>=/]*))?)\Z"
)
_TAGS = ("tool_use", "tool_call")
_CLOSING = {tag: re.compile(rf"</{tag}\s{{0,32}}>") for tag in _TAGS}
_LONGEST_CLOSING = 64  # characters, above any closing tag


def _half(tag: str) -> str:
    """Return a pattern for every proper, non-empty prefix of the tag."""
    pattern = ""
    for character in reversed(tag):
        pattern = f"(?:{re.escape(character)}{pattern})?"
    return pattern


_HALF_CLOSING = {tag: re.compile(rf"\s*{_half(f'</{tag}')}\s*\Z") for tag in _TAGS}


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of the text may begin the mark."""
    return next((n for n in range(min(len(mark), len(text)), 0, -1) if text.endswith(mark[:n])), 0)


def _half_mark(text: str) -> int:
    return max(_overlap(text, mark) for mark in _MARKS)
