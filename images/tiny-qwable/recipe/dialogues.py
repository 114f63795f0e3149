"""The whole stream of training dialogues, endless and the same for the same seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from recipe import agent
from recipe.dialogue import Dialogue, Message, sometimes, user
from recipe.files import load
from recipe.noise import disturb
from recipe.questions import random_question

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT_SHARE = 0.3


def stream(seed: int) -> Iterator[Dialogue]:
    """Yield training dialogues without end."""
    rng = random.Random(seed)
    while True:
        yield agent.random_dialogue(rng) if sometimes(rng, AGENT_SHARE) else plain(rng)


def plain(rng: random.Random) -> Dialogue:
    """Draw a dialogue without tools: up to two earlier pairs, perhaps a system prompt, then the question."""
    messages: list[Message] = []
    if sometimes(rng, 0.3):
        messages.append({"role": "system", "content": rng.choice(load("plain-systems"))})
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        earlier = random_question(rng)
        messages += [user(disturb(earlier.ask, rng)), {"role": "assistant", "content": earlier.answer}]
    question = random_question(rng)
    messages.append(user(disturb(question.ask, rng)))
    return Dialogue(messages, question.think, question.answer, enable_thinking=sometimes(rng, 0.8))
