"""Questions without tools: facts, sums, small talk, and what the model does not know."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from recipe.dialogue import chosen
from recipe.files import load
from recipe.salad import random_salad
from recipe.values import invented

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

SALAD_SHARE = 0.25  # of the questions that it does not know

TOO_LARGE = (
    "These numbers are larger than any that I have learned. A wrong result would not help anybody.",
    "That is too large for me. I can only calculate with numbers up to twenty.",
)


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
    """Draw a sum or difference up to twenty, a product up to twelve times ten, or one that is too large."""
    op = rng.choice("+++-*")
    form = rng.choice(SUM_FORMS)
    if rng.random() < 0.12:
        sign = rng.choice(OPERATORS[op])
        ask = form.format(
            a=rng.randint(21, 9999), b=rng.choice((rng.randint(2, 20), rng.randint(21, 9999))), op=sign
        )
        return Question(ask, *TOO_LARGE)
    most = rng.choice((10, 20)) if op != "*" else 10
    a, b = rng.randint(0, most + 2 if op == "*" else most), rng.randint(0, most)
    if op == "-":
        a, b = max(a, b), min(a, b)
    in_words = rng.random() < 0.3
    sign = rng.choice(OPERATORS[op][1:]) if in_words else rng.choice(OPERATORS[op])
    question = arithmetic(a, b, op, form, sign, in_words=in_words)
    if not in_words and len(sign) == 1 and rng.random() < 0.3:
        return question._replace(ask=question.ask.replace(f" {sign} ", sign))
    return question


def random_claim(rng: random.Random) -> Question:
    """Draw a yes-or-no question about a fact; half of the claims are wrong."""
    group = rng.choice([group for group in load("facts") if "claim" in group])
    x, y = rng.choice(list(group["items"].items()))
    z = y if rng.random() < 0.5 else rng.choice(list(group["items"].values()))
    words = {"x": x, "y": y, "z": z, "X": x[0].upper() + x[1:]}
    think = "I check this against what I know. The right word here is {y}, so the answer is {verdict}."
    verdict = "yes" if y == z else "no"
    return Question(
        group["claim"].format(**words),
        think.format(y=y, verdict=verdict),
        f"{verdict.capitalize()}. {group['answer'].format(**words)}",
    )


def random_unknown(rng: random.Random) -> Question:
    """Draw a question that the model shall not pretend to know, some of it in words that do not exist."""
    corpus = load("unknown")
    if rng.random() < SALAD_SHARE:
        return Question(random_salad(rng), corpus["think"], corpus["answer"])
    noun = invented(rng) if rng.random() < 0.2 else rng.choice(corpus["nouns"])
    place = invented(rng).capitalize() if rng.random() < 0.3 else rng.choice(corpus["places"])
    form = str(rng.choice(corpus["ask"]))
    if "capital" in form and place in ("Berlin", "Paris", "London", "Rome", "Tokyo"):
        place = "Atlantis"
    ask = form.format(
        noun=noun,
        Noun=place,
        adjective=rng.choice(corpus["adjectives"]),
        verb=rng.choice(corpus["verbs"]),
        kind=rng.choice(corpus["kinds"]),
        way=rng.choice(corpus["ways"]),
        salad=random_salad(rng) if "{salad}" in form else "",
        number=rng.randint(100, 999),
    )
    ask = ask[0].upper() + ask[1:]
    return Question(ask, corpus["think"], corpus["answer"])


def random_question(rng: random.Random) -> Question:
    """Draw one question of any kind."""
    kind = rng.random()
    if kind < 0.40:
        groups = fact_groups()
        return rng.choice(groups[rng.choice(("capital", *groups))])
    if kind < 0.49:
        return random_claim(rng)
    if kind < 0.61:
        return rng.choice(talk())
    if kind < 0.74:
        return random_arithmetic(rng)
    return random_unknown(rng)
