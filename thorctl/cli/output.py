"""Adapt views to a terminal, or to a file or a pipe."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import TYPE_CHECKING

from thorctl.ui.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

UNLIMITED = 10_000  # columns: without a terminal nothing is dropped or wrapped


def fit(view: RenderableType) -> RenderableType:
    """Return ``view`` itself on a terminal, whose width it fits; else all of it as plain text."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return view
    return plain(view)


def plain(view: RenderableType) -> str:
    """Return ``view`` without colours and without a limit of the line length."""
    out = StringIO()
    Console(file=out, width=UNLIMITED, coloured=False).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
