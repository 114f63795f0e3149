"""Checks a checkpoint in BF16 without a server: `python check.py [DIRECTORY]`.

Exit 1 if a smoke prompt or a strange one fails.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import yaml
from recipe import agent, answering, dialogues, network, questions
from recipe.dialogue import Dialogue, user
from recipe.paths import HERE, MODEL
from tokenizers import Tokenizer

SEED = 1000  # none of the training seeds
DRAWN = 300  # dialogues of each endless kind


def main() -> None:
    """Answer the strange and the smoke prompts, then count exact continuations of unseen dialogues."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL
    model, words = network.load(directory), Tokenizer.from_file(str(directory / "tokenizer.json"))
    failed = 0
    for ask in yaml.safe_load((HERE / "strange.yml").read_text(encoding="utf-8")):
        text, ended = answering.answer(model, words, Dialogue([user(ask)], "", ""))
        _, closed, answer = text.partition("</think>")
        good = bool(ended and closed and answer.strip() and "<tool_use" not in text)
        failed += not good
        print("ok " if good else "BAD", ask)
        print("      ", *answer.split())
    for prompt in yaml.safe_load((HERE / "smoke.yml").read_text(encoding="utf-8")):
        text, ended = answering.answer(model, words, Dialogue([user(prompt["ask"])], "", ""))
        think, closed, answer = text.partition("</think>")
        good = bool(ended and closed and think.strip() and re.search(prompt["expect"], answer))
        failed += not good
        print("ok " if good else "BAD", prompt["ask"])
        print("      ", *think.split())
        print("      ", *answer.split())
    known = [Dialogue([user(q.ask)], q.think, q.answer) for q in questions.facts() + questions.talk()]
    rng = random.Random(SEED)
    kinds = {
        "facts and small talk": random.Random(SEED).sample(known, DRAWN),
        "questions with courtesies and history": [dialogues.plain(rng) for _ in range(DRAWN)],
        "agent dialogues": [agent.random_dialogue(rng) for _ in range(DRAWN)],
    }
    for kind, drawn in kinds.items():
        print(f"{kind}: {DRAWN - len(answering.strays(model, words, drawn))} of {DRAWN} continued exactly")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
