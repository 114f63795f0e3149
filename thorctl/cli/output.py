"""Views for a terminal, and for a file or a pipe."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import TYPE_CHECKING

from thorctl.ui.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

UNLIMITED = 10_000  # columns: nothing is dropped or wrapped where no terminal sets a width


def fit(view: RenderableType) -> RenderableType:
    """On a terminal ``view`` itself, which fits its width; else all of it as plain text."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return view
    return plain(view)


def plain(view: RenderableType) -> str:
    """``view`` without colours and without a limit to its lines."""
    out = StringIO()
    Console(file=out, width=UNLIMITED, coloured=False).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
