"""The captures, by name (their sources: captures/README.md)."""

from __future__ import annotations

from pathlib import Path

CAPTURES = Path(__file__).with_name("captures")


def text(name: str) -> str:
    return (CAPTURES / name).read_text()


def raw(name: str) -> bytes:
    return (CAPTURES / name).read_bytes()
