"""Greedy answers of a checkpoint on the CPU in BF16, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recipe.batches import END, IGNORED, encode, pad
from recipe.template import render

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import Qwen3_5MoeForConditionalGeneration

    from recipe.dialogue import Dialogue

LIMIT = 256  # tokens, as in the profile's smoke


@torch.no_grad()
def answer(
    network: Qwen3_5MoeForConditionalGeneration, words: Tokenizer, dialogue: Dialogue
) -> tuple[str, bool]:
    """Give the text after the generation prompt, and whether it ended by itself within LIMIT tokens."""
    prompt = render(dialogue.messages, tools=dialogue.tools, enable_thinking=dialogue.enable_thinking)
    ids = words.encode(prompt, add_special_tokens=False).ids
    said: list[int] = []
    while len(said) < LIMIT and END not in said[-1:]:
        hidden = network.model(input_ids=torch.tensor([ids + said]), use_cache=False).last_hidden_state
        said.append(int(network.lm_head(hidden[0, -1]).argmax()))
    ended = said[-1] == END
    return words.decode(said[:-1] if ended else said, skip_special_tokens=False), ended


@torch.no_grad()
def strays(
    network: Qwen3_5MoeForConditionalGeneration, words: Tokenizer, dialogues: list[Dialogue]
) -> list[Dialogue]:
    """Give the dialogues that greedy decoding would not continue, to the last token, as the corpus does."""
    found = []
    for start in range(0, len(dialogues), 32):
        part = dialogues[start : start + 32]
        batch = pad(encode(part, words))
        best = network.lm_head(network.model(input_ids=batch.ids, use_cache=False).last_hidden_state).argmax(
            -1
        )
        same = ((best == batch.labels) | (batch.labels == IGNORED)).all(dim=1)
        found += [dialogue for dialogue, good in zip(part, same.tolist(), strict=True) if not good]
    return found
