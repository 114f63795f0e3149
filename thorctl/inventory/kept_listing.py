"""Cache Ansible's answer for an inventory in the user's cache folder until one of its inputs changes.

Starting Ansible takes longer than querying a device. An answer is reused for the same arguments, environment
and working directory if every file that Ansible read for it is unchanged, and every path that it looked for
exists or not as before. Answers with a password, or that depend on more than files, are never cached
(`ansible_support.inputs`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thorctl.files import user_cache
from thorctl.files.identity import identity, presence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INVENTORIES_KEPT = 16  # answers: one per inventory and login session


def place(command: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """Return where the answer to a command is cached; None: nowhere."""
    try:
        here = os.getcwd()  # noqa: PTH109 - as a text
    except OSError:
        return None
    words = sorted(f"{name}={value}" for name, value in environment.items())
    key = (*command, *words, here, presence(here), str(os.getuid()))
    return user_cache.place("inventory", user_cache.digest(key), "listing.json")


def find(file: Path | None) -> dict[str, Any] | None:
    """Return the answer, if its inputs are unchanged."""
    listing = user_cache.read(file) if file else None
    inputs = listing.get("_meta", {}).get("inputs") if isinstance(listing, dict) else None
    return listing if isinstance(inputs, Mapping) and _unchanged(inputs) else None


def _unchanged(inputs: Mapping[str, Mapping[str, str]]) -> bool:
    return all(identity(path) == was for path, was in inputs["content"].items()) and all(
        presence(path) == was for path, was in inputs["presence"].items()
    )


def keep(file: Path | None, listing: Mapping[str, Any]) -> None:
    """Store an answer for the next call, if it may be."""
    if file and listing["_meta"]["inputs"]:
        user_cache.write(file, listing, kept=INVENTORIES_KEPT)
