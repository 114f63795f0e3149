"""Tests with devices or vLLM mean the session's simulation, and use what this machine has."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone() -> None:
    """Leave the environment as the session's fixtures set it."""
