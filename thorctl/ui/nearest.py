"""Suggest a known word for a misspelled one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` begins, else the most similar; None: none, or several."""
    words = set(known)
    begun = [one for one in words if len(word) > 1 and one.startswith(word)]
    if len(begun) == 1:
        return begun[0]
    matches = difflib.get_close_matches(word, words, n=2, cutoff=0.6)
    if len(matches) == 2 and _likeness(word, matches[0]) == _likeness(word, matches[1]):
        return None
    return matches[0] if matches else None


def _likeness(word: str, known: str) -> float:
    return difflib.SequenceMatcher(None, known, word).ratio()  # the order of get_close_matches
