# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run programs on the device, describe differences from its desired settings, and report errors."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 120.0


class HostError(Exception):
    """A failure that needs an operator: "code: message — remedy"."""


@dataclass(frozen=True)
class Change:
    """One difference, and the function that removes it."""

    what: str
    before: str
    after: str
    make: Callable[[], object]


def run(*words: str, timeout: float | None = TIMEOUT_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program with English messages; exit code 127 if it is missing, 124 after ``timeout`` seconds."""
    english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=timeout, env=english
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]} is not installed")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no answer within {timeout:g} s")


def ask(*words: str, timeout: float | None = TIMEOUT_SECONDS) -> str:
    """Return the output of a program that has to succeed.

    Raises:
        HostError: ``<program>_failed``.
    """
    done = run(*words, timeout=timeout)
    if done.returncode != 0:
        raise HostError(f"{words[0]}_failed: {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
