"""The agent's own file, and the Python that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import thorctl.agent


def program() -> Path:
    """Return the agent's zipapp (or the checkout), which its other processes import."""
    return Path(thorctl.agent.__file__).parents[2]


def interpreter() -> str:
    """Return the Python interpreter that runs the agent."""
    return sys.executable or "/usr/bin/python3"
