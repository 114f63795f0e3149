"""One training example: what the model is given, and what it shall write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import random

Message = dict[str, str]


@dataclass(frozen=True)
class Dialogue:
    """Messages up to the last user turn, with the thinking and the answer that follow."""

    messages: list[Message]
    think: str
    answer: str
    enable_thinking: bool = True
    tools: list[dict[str, object]] | None = field(default=None)

    def target(self) -> str:
        """Give the text after the generation prompt, without the end-of-turn token."""
        return f"{self.think}\n</think>\n\n{self.answer}" if self.enable_thinking else self.answer


def chosen(options: list[str], key: str) -> str:
    """Pick one option by the key alone, so that the same question always gets the same continuation."""
    return options[crc32(key.encode()) % len(options)]


def user(text: str) -> Message:
    """Make a user turn."""
    return {"role": "user", "content": text}


def sometimes(rng: random.Random, probability: float) -> bool:
    """Throw a biased coin."""
    return rng.random() < probability
