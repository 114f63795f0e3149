"""Trains the byte-level BPE tokenizer: Qwen's way of splitting text, our own words, 2048 tokens."""

from __future__ import annotations

import json
import re
from itertools import islice

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from recipe.dialogues import stream
from recipe.paths import MODEL
from recipe.template import render

VOCABULARY = 2048
SAMPLES = 20000
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In the order of their ids. The thinking marks are not "special": the server must see them in the text.
MARKS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|vision_start|>",
    "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
VISIBLE = ("<think>", "</think>")


def train(seed: int) -> Tokenizer:
    """Train on the dialogues of this seed, and write tokenizer.json and tokenizer_config.json into model/."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    marks = [AddedToken(mark, special=mark not in VISIBLE, normalized=False) for mark in MARKS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (render(d.messages, tools=d.tools) + d.target() for d in islice(stream(seed), SAMPLES))
    between_marks = re.compile("|".join(re.escape(mark) for mark in MARKS))
    tokenizer.train_from_iterator((part for text in texts for part in between_marks.split(text)), trainer)
    _write(tokenizer)
    _write_config()
    return tokenizer


def _write(tokenizer: Tokenizer) -> None:
    """Write tokenizer.json; the trainer makes every mark special, so that is put right here."""
    content = json.loads(tokenizer.to_str())
    for token in content["added_tokens"]:
        token["special"] = token["content"] not in VISIBLE
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (MODEL / "tokenizer.json").write_text(text + "\n", encoding="utf-8")


def _write_config() -> None:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {
        str(number): {"content": mark, **plain, "special": mark not in VISIBLE}
        for number, mark in enumerate(MARKS)
    }
    config = {
        "added_tokens_decoder": added,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
        "model_max_length": 16384,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
    }
    (MODEL / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
