"""Generate docs/reference/cli.md: ``python -m thorctl.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import importlib.util
import inspect
from typing import TYPE_CHECKING

import click

from thorctl.cli.main import VERBS, cli
from thorctl.ui.console import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100  # columns of the help texts
HEADER = """\
# thorctl, verb by verb

Made by `python -m thorctl.cli.reference > docs/reference/cli.md`; a test fails when it is not current.
Data goes to stdout, messages to stderr; `--json` may stand anywhere on the line.
Exit codes: 0 success, 1 error, 2 usage, 3 partial (some devices), 4 leased by someone else,
5 the question was answered with no. A verb that changes devices asks; without a terminal it needs `--yes`.
"""


def reference() -> str:
    """The whole page. Verbs that are announced but not there yet are left out."""
    settings = dict(cli.context_settings) | {"max_content_width": WIDTH, "terminal_width": WIDTH}
    root = click.Context(cli, info_name="thorctl", **settings)
    parts = [HEADER, *_section("thorctl", cli, root, level=2)]
    for verb in sorted(VERBS):
        if importlib.util.find_spec(f"thorctl.cli.{verb}") is None:
            continue
        command = cli.get_command(root, verb)
        if command is not None:
            parts += _command(verb, command, root)
    return "\n".join(parts)


def _command(name: str, command: click.Command, parent: click.Context, level: int = 2) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, max_content_width=WIDTH, terminal_width=WIDTH
    )
    yield from _section(context.command_path, command, context, level)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _command(child, found, context, level + 1)


def _section(title: str, command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    text = inspect.cleandoc(command.get_help(context))
    lines = [line.rstrip() for line in text.splitlines()]
    yield "\n".join([f"{'#' * level} {title}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    echo(reference(), newline=False)
