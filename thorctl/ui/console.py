"""The consoles and `echo`, the only ways to print; all text passes through `printable`."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import click
from rich.console import Console as RichConsole
from rich.text import Text

from thorctl.ui.printable import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment


class Console(RichConsole):
    """rich's console without characters that control the terminal.

    Strings are text, not rich's markup: a device's ``[/]`` is three characters. Style with ``Text``.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        quiet: bool = False,
        highlight: bool = True,
        file: IO[str] | None = None,
        width: int | None = None,
        coloured: bool = True,
        force_terminal: bool | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr,
            quiet=quiet,
            highlight=highlight,
            file=file,
            width=width,
            color_system="auto" if coloured else None,
            force_terminal=force_terminal,
            markup=False,
            emoji=False,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with text replaced before it is measured, so that columns keep their width."""
        if isinstance(renderable, str):
            renderable = printable(renderable)
        elif isinstance(renderable, Text):
            shown = printable(renderable.plain)
            if shown != renderable.plain:
                renderable = renderable.copy()
                renderable.plain = shown
        for segment in super().render(renderable, options):
            # A renderable (a syntax, a tree) is replaced piece by piece.
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def echo(text: str = "", *, newline: bool = True) -> None:
    """Print text on stdout at once."""
    click.echo(printable(text), nl=newline)


def echo_json(value: object, *, indent: int | None = None) -> None:
    """Print a JSON value on stdout, with escapes for characters that control the terminal."""
    click.echo(json_text(value, indent=indent))
