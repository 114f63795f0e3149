"""Argument values and tool results, many of invented words: the model must copy, not remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe.files import load

if TYPE_CHECKING:
    import random

SYLLABLES = (
    "ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du", "fa", "fi", "ga", "go", "ka", "ke",
    "ki", "ko", "la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "pa", "pe",
    "pi", "po", "ra", "re", "ri", "ro", "sa", "se", "si", "so", "ta", "te", "ti", "to", "va", "vi",
    "wa", "wo", "za", "zu", "tor", "mar", "len", "fin", "gar", "sol", "ven", "kim",
)  # fmt: skip


def invented(rng: random.Random) -> str:
    """Give a word that no list holds, sometimes with a number."""
    word = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 3)))
    return f"{word}{rng.choice(('', '', '-', '_'))}{rng.randint(0, 999)}" if rng.random() < 0.2 else word


def random_value(kind: str, rng: random.Random) -> str:
    """Draw a path, folder, command, word, city or direction."""
    corpus = load("agent")
    if kind == "path":
        name = (rng.choice(corpus["files"]) if rng.random() < 0.5 else invented(rng)) + rng.choice(
            corpus["endings"]
        )
        return name if rng.random() < 0.3 else f"{random_value('folder', rng)}/{name}"
    if kind == "folder":
        parts = [
            rng.choice(corpus["folders"]) if rng.random() < 0.6 else invented(rng)
            for _ in range(rng.randint(1, 3))
        ]
        return ("/" if rng.random() < 0.85 else "") + "/".join(parts)
    if kind == "command":
        command: str = rng.choice(corpus["commands"])
        return command.format(
            **{name: random_value(name, rng) for name in ("path", "folder", "word") if name in command}
        )
    if kind == "word":
        return rng.choice(corpus["words"]) if rng.random() < 0.5 else invented(rng)
    listed: str = rng.choice(corpus["cities" if kind == "city" else "directions"])
    return listed if kind == "direction" or rng.random() < 0.7 else invented(rng).capitalize()


def random_result(rng: random.Random) -> tuple[str, bool]:
    """Draw what a tool returned, one to four lines, and whether that is an error."""
    corpus = load("agent")
    if rng.random() < 0.15:
        return rng.choice(corpus["failures"]), True
    lines = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        words = [_scrap(rng) for _ in range(rng.randint(1, 5))]
        lines.append(" ".join(words))
    return "\n".join(lines), False


def _scrap(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return random_value("word", rng)
    if kind < 0.65:
        return invented(rng)
    if kind < 0.8:
        return random_value("path", rng)
    return f"{rng.randint(0, 9999)}{rng.choice(('', '', '%', ' MB', '.5', ' degrees'))}"
