"""The file that this agent runs from, and the Python that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import thorctl.agent


def program() -> Path:
    """The agent's zipapp (or the checkout), which other processes of it import."""
    return Path(thorctl.agent.__file__).parents[2]


def interpreter() -> str:
    """The Python that runs the agent."""
    return sys.executable or "/usr/bin/python3"
