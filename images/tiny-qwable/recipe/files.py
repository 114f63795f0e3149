"""Where the parts of images/tiny-qwable lie, and how its hand-written text is read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent.parent
MODEL = HERE / "model"
CORPUS = HERE / "corpus"


@cache
def load(name: str) -> Any:
    """Give the content of `corpus/<name>.yml`."""
    text = (CORPUS / f"{name}.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.BaseLoader)  # all strings: "yes" and "true" are words here
