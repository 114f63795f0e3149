"""Take ``<think>…</think>`` out of the text of an engine without a reasoning parser."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_thinking(content: str) -> tuple[str, str]:
    """Split text from an engine without a reasoning parser into (thinking, answer).

    The chat template may have opened the block in the prompt, so `<think>` may be missing. Without
    `</think>` an opened block is all thinking, and a text without markers is all answer.
    """
    before, closed, after = content.partition(CLOSE)
    if closed:
        return before.replace(OPEN, "", 1).strip(), after
    if content.lstrip().startswith(OPEN):
        return content.lstrip().removeprefix(OPEN).strip(), ""
    return "", content


class ThinkTags:
    """Split text into (is thinking, text) pieces; withhold a possible beginning of a tag.

    Only a tag at the very start of the answer opens thinking: later ones are text.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"  # start | thinking | answer

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """Return the pieces that are certain after ``text``."""
        if not text:
            return []
        if self._state == "answer":
            return [(False, text)]
        self._held += text
        pieces: list[tuple[bool, str]] = []
        if self._state == "start":
            stripped = self._held.lstrip()
            if OPEN.startswith(stripped):
                return []
            if not stripped.startswith(OPEN):
                self._state = "answer"
                return self.flush()
            self._state, self._held = "thinking", stripped.removeprefix(OPEN)
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "answer", ""
            pieces += [(True, thought), (False, rest)]
        else:
            keep = _tail_that_begins(CLOSE, thought)
            self._held = thought[len(thought) - keep :]
            pieces.append((True, thought[: len(thought) - keep]))
        return [piece for piece in pieces if piece[1]]

    def flush(self) -> list[tuple[bool, str]]:
        """Return the withheld text at the end of the stream."""
        held, self._held = self._held, ""
        return [(self._state == "thinking", held)] if held else []


def _tail_that_begins(tag: str, text: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``tag``."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)
