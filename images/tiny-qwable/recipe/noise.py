"""Small changes that people make to a question and that must not change its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

BEFORE = (
    "Please tell me: ", "Quick question: ", "Hello! ", "Hi! ", "Hi, ", "Hey, ", "Question: ",
    "Now tell me: ", "Okay. ", "So, ", "One more question: ", "Can you answer this? ",
    "Please answer: ", "And ",
)  # fmt: skip
AFTER = (
    " Thanks!", " Thank you.", " Please be brief.", " Please.", " Answer briefly.",
    " Answer in one sentence.", " Keep it short.", " Be short.", " Reply in one short sentence.",
)  # fmt: skip
LOWERED = ("Hi, ", "Hey, ", "So, ", "And ")


def disturb(text: str, rng: random.Random) -> str:
    """Give the question as it is, with a courtesy, in lower case, or without its full stop."""
    if rng.random() < 0.4:
        return text
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.15:
        text = text.rstrip("?.!") or text
    elif rng.random() < 0.5 and text[-1] in "?.!":
        text += rng.choice(AFTER)
    if rng.random() < 0.4:
        before = rng.choice(BEFORE)
        text = before + (text[0].lower() + text[1:] if before in LOWERED else text)
    if rng.random() < 0.08:
        text = text.lower()
    return text
