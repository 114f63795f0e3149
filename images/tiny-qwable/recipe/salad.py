"""Text without a sense: whatever is typed, the model shall end its answer and not run away."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from recipe.files import load
from recipe.values import invented

if TYPE_CHECKING:
    import random

LENGTHS = (3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 40, 70)  # words at most
LISTS = ("words", "words", "words", "nouns", "adjectives", "verbs")
ENDS = (".", ".", "?", "!", "", "")
MARKS = ",,,,;:.-/()=+#'\"_*<>{}[]&%$@\n"


def random_salad(rng: random.Random) -> str:
    """Draw up to seventy words, of a language or none, in any order."""
    made = rng.choice((0.0, 0.1, 0.5, 1.0))  # share of words that no language has
    marked = rng.choice((0.0, 0.0, 0.1, 0.3))
    most = rng.choice(LENGTHS)
    text = " ".join(
        _word(rng, made) + (rng.choice(MARKS) if rng.random() < marked else "")
        for _ in range(rng.randint(3, most))
    )
    return text[0].upper() + text[1:] + rng.choice(ENDS) if rng.random() < 0.7 else text


def _word(rng: random.Random, made: float) -> str:
    if rng.random() >= made:
        return str(rng.choice(load("unknown")[rng.choice(LISTS)]))
    kind = rng.random()
    if kind < 0.4:
        return invented(rng)
    if kind < 0.5:
        return str(rng.randint(0, 99999))
    letters = string.ascii_lowercase if kind < 0.8 else string.ascii_letters + string.digits
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))
