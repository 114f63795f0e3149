"""Turns dialogues into token batches of about equal length."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch

from recipe.template import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

    from recipe.dialogue import Dialogue

END = 2  # the id of <|im_end|>
IGNORED = -100  # the label that cross_entropy leaves out
POOL = 16  # batches sorted by length together


class Batch(NamedTuple):
    """Token ids, int64 [batch, length], padded with 0 on the right; labels alike, shifted by one."""

    ids: torch.Tensor
    labels: torch.Tensor


def encode(dialogues: list[Dialogue], tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    """Give prompt and target ids of each dialogue; the target ends with <|im_end|>."""
    prompts = tokenizer.encode_batch(
        [render(d.messages, tools=d.tools, enable_thinking=d.enable_thinking) for d in dialogues],
        add_special_tokens=False,
    )
    targets = tokenizer.encode_batch([d.target() for d in dialogues], add_special_tokens=False)
    return [(p.ids, [*t.ids, END]) for p, t in zip(prompts, targets, strict=True)]


def pad(pairs: list[tuple[list[int], list[int]]]) -> Batch:
    """Make one batch; only target tokens have labels."""
    length = max(len(p) + len(t) for p, t in pairs) - 1
    ids = torch.zeros(len(pairs), length, dtype=torch.long)
    labels = torch.full((len(pairs), length), IGNORED)
    for row, (prompt, target) in enumerate(pairs):
        whole = torch.tensor(prompt + target)
        ids[row, : len(whole) - 1] = whole[:-1]
        labels[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return Batch(ids, labels)


def batches(source: Iterator[Dialogue], tokenizer: Tokenizer, size: int, seed: int) -> Iterator[Batch]:
    """Yield batches of `size` dialogues without end."""
    rng = random.Random(seed)
    while True:
        pairs = sorted(
            encode(list(islice(source, size * POOL)), tokenizer), key=lambda pair: len(pair[0]) + len(pair[1])
        )
        groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        rng.shuffle(groups)
        yield from map(pad, groups)
