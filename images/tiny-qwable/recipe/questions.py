"""Questions without tools: facts, sums, small talk, and what the model does not know."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from recipe.dialogue import chosen
from recipe.files import load

if TYPE_CHECKING:
    import random

NUMBERS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
]  # fmt: skip
SUM_FORMS = (
    "What is {a} {op} {b}?", "What's {a} {op} {b}?", "How much is {a} {op} {b}?", "{a} {op} {b}",
    "{a} {op} {b} = ?", "Calculate {a} {op} {b}.", "Compute {a} {op} {b}.",
    "What does {a} {op} {b} make?", "{a} {op} {b}?", "Solve {a} {op} {b}.", "Tell me {a} {op} {b}.",
    "What is the result of {a} {op} {b}?", "What do you get for {a} {op} {b}?",
)  # fmt: skip
OPERATORS = {"+": ("+", "plus"), "-": ("-", "minus"), "*": ("*", "times", "x", "multiplied by")}
SUM_THINK = {
    "+": "This is a small sum. I start at {a} and count {b} more, which brings me to {c}.",
    "-": "Here something is taken away. I start at {a}, go {b} down and end at {c}.",
    "*": "This is a multiplication. From the table of {a} I know that {b} times gives {c}.",
}


class Question(NamedTuple):
    """A question with the one thinking and answer that belong to it."""

    ask: str
    think: str
    answer: str


@cache
def facts() -> tuple[Question, ...]:
    """Give every fact in every form of its question."""
    found = []
    for group in load("facts"):
        for x, y in group["items"].items():
            words = {"x": x, "y": y, "X": x[0].upper() + x[1:]}
            think = chosen(group["think"], f"{group['name']} {x}").format(**words)
            answer = group["answer"].format(**words)
            found += [Question(ask.format(**words), think, answer) for ask in group["ask"]]
    return tuple(found)


@cache
def fact_groups() -> dict[str, tuple[Question, ...]]:
    """Give the facts by the name of their group."""
    answers = iter(facts())
    return {
        group["name"]: tuple(next(answers) for _ in range(len(group["items"]) * len(group["ask"])))
        for group in load("facts")
    }


@cache
def talk() -> tuple[Question, ...]:
    """Give the small talk in every form."""
    return tuple(
        Question(ask, entry["think"], entry["answer"])
        for entry in load("talk")
        for ask in entry["ask"].split(" | ")
    )


def arithmetic(a: int, b: int, op: str, form: str, sign: str, *, in_words: bool) -> Question:
    """Make one sum; numbers up to twenty can be asked in words."""
    c = {"+": a + b, "-": a - b, "*": a * b}[op]
    words = {"a": a, "b": b, "c": c}
    said = {"a": NUMBERS[a] if in_words else a, "b": NUMBERS[b] if in_words else b, "op": sign}
    ask = form.format(**said)
    return Question(ask[0].upper() + ask[1:], SUM_THINK[op].format(**words), f"{a} {op} {b} = {c}.")


def random_arithmetic(rng: random.Random) -> Question:
    """Draw a sum or difference up to twenty, or a product up to ten times ten."""
    op = rng.choice("+++-*")
    a, b = rng.randint(0, 12), rng.randint(0, 12)
    if op == "-":
        a, b = max(a, b), min(a, b)
    if op == "*":
        a, b = rng.randint(0, 10), rng.randint(0, 10)
    in_words = rng.random() < 0.3
    sign = rng.choice(OPERATORS[op][1:]) if in_words else rng.choice(OPERATORS[op])
    question = arithmetic(a, b, op, rng.choice(SUM_FORMS), sign, in_words=in_words)
    if not in_words and rng.random() < 0.3:
        return question._replace(
            ask=question.ask.replace(f" {sign} ", sign) if len(sign) == 1 else question.ask
        )
    return question


def random_unknown(rng: random.Random) -> Question:
    """Draw a question that the model shall not pretend to know."""
    corpus = load("unknown")
    ask = rng.choice(corpus["ask"]).format(
        noun=rng.choice(corpus["nouns"]),
        adjective=rng.choice(corpus["adjectives"]),
        number=rng.randint(100, 999),
    )
    return Question(ask, corpus["think"], corpus["answer"])


def random_question(rng: random.Random) -> Question:
    """Draw one question of any kind."""
    kind = rng.random()
    if kind < 0.58:
        groups = fact_groups()
        return rng.choice(groups[rng.choice(("capital", *groups))])
    if kind < 0.75:
        return rng.choice(talk())
    if kind < 0.90:
        return random_arithmetic(rng)
    return random_unknown(rng)
