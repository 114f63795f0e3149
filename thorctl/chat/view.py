"""Show a generation on the terminal: the answer on stdout, the thinking on stderr, dim.

So ``thorctl chat thor-01 "…" > file`` stores the answer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from thorctl.chat.stream import Answer, Thinking
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.chat.generation import Generation
    from thorctl.ui.console import Console

from thorctl.chat.stream import Event

THINKING_STYLE = "dim italic"


class Screen:
    """The display of one generation."""

    def __init__(self, write: Callable[[str], None], messages: Console) -> None:
        self._write = write
        self._messages = messages
        self._last: type[Event] | None = None
        self._open_line = False  # whether the cursor is behind text

    def show(self, event: Event) -> None:
        """Show one piece of thinking or answer."""
        text = event.text if isinstance(event, Thinking | Answer) else ""
        if self._last is not type(event):
            text = text.lstrip()
            if not text:
                return
            self._turn(event)
        if isinstance(event, Thinking):
            self._messages.print(Text(text, style=THINKING_STYLE), end="", soft_wrap=True)
        else:
            self._write(text)
        self._open_line = not text.endswith("\n")

    def close(self) -> None:
        """End the line, if one is open."""
        if not self._open_line:
            return
        if self._last is Answer:
            self._write("\n")
        else:
            self._messages.print()
        self._open_line = False

    def _turn(self, event: Event) -> None:
        """Begin thinking or the answer with a label, since colour may be off."""
        self.close()
        if isinstance(event, Thinking):
            self._messages.print("thinking", style="dim", highlight=False)
        elif self._last is Thinking:
            self._messages.print("\nanswer", style="dim", highlight=False)
        self._last = type(event)


def summary(generation: Generation) -> str:
    """Format ``37 tokens in 1.2 s (30.8 tokens/s), first after 0.2 s``."""
    tokens = (generation.usage or {}).get("completion_tokens")
    words = f"{generation.seconds:.1f} s"
    if isinstance(tokens, int):
        words = (
            f"{counted(tokens, 'token')} in {words} ({tokens / max(generation.seconds, 0.001):.1f} tokens/s)"
        )
    if generation.first_seconds is not None:
        words += f", first after {generation.first_seconds:.1f} s"
    if not generation.answer.strip():
        words += "; no answer"
    if generation.finish_reason == "length":
        words += "; cut off by the token limit (--max-tokens)"
    return words
