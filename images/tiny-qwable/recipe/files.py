"""Reads the hand-written part of the corpus."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from recipe.paths import CORPUS


@cache
def load(name: str) -> Any:
    """Give the content of `corpus/<name>.yml`."""
    text = (CORPUS / f"{name}.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.BaseLoader)  # all strings: "yes" and "true" are words here
