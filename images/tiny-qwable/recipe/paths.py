"""Where the parts of images/tiny-qwable lie."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
MODEL = HERE / "model"
CORPUS = HERE / "corpus"
