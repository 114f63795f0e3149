"""Singular and plural of counted nouns, and of the verbs that follow them."""

from __future__ import annotations


def form(count: float, one: str, several: str | None = None) -> str:
    """Return ``one`` for a count of exactly 1, else ``several`` (``one`` with an ``s``)."""
    return one if count == 1 else several or f"{one}s"


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return the count with its noun: ``1 device``, ``0 devices``."""
    return f"{count} {form(count, one, several)}"
