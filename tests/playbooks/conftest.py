"""Shared by the collection's tests: programs of a device that answer on demand."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Has each program answer what is given for its first two words; returns what was run."""
    ran: list[tuple[str, ...]] = []

    def install(said: dict[str, str | tuple[int, str]]) -> list[tuple[str, ...]]:
        def run(*words: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
            ran.append(words)
            answer = said[" ".join(words[:2])]
            code, text = answer if isinstance(answer, tuple) else (0, answer)
            return subprocess.CompletedProcess(words, code, text, text if code else "")

        monkeypatch.setattr(host, "run", run)
        return ran

    return install
