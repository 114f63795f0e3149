"""The punctuation of messages and remedies, which often end with text of other programs."""

from __future__ import annotations

import re

_END = re.compile(r"[\s.,:;]+$")
_ENDED = ("?", "!", "…")


def sentence(text: str) -> str:
    """Return ``text`` with exactly one full stop at its end; empty text and several lines as they are.

    Several lines are a quotation, such as the end of a log, which keeps its own punctuation.
    """
    if not text.strip() or "\n" in text.strip():
        return text.rstrip()
    bare = _END.sub("", text)
    return bare if bare.endswith(_ENDED) else f"{bare}."
