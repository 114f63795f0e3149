"""Command groups whose error for an unknown command suggests the nearest one and lists all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from thorctl.cli import extras
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommandGroup(click.Group):
    """``click.Group`` whose error for an unknown command suggests the nearest one and lists all."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does; raise ``click.UsageError`` with the known commands."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            guess = nearest(args[0], known)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint} Commands: {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(CommandGroup):
    """A group that imports ``<package>.<verb>`` when the verb is called.

    Args:
        package: the package of the verbs' modules, each with a ``command``.
        verbs: verb -> its short help.
    """

    def __init__(self, *args: Any, package: str, verbs: Mapping[str, str], **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.package, self.verbs = package, verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all verbs, sorted."""
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command ``cmd_name``, or None.

        Raises:
            ThorError: ``extra_missing``.
        """
        if cmd_name not in self.verbs:
            return None
        try:
            command = importlib.import_module(f"{self.package}.{cmd_name}").command
        except ModuleNotFoundError as error:
            above = ctx.command_path.partition(" ")[2]
            raise extras.missing(error, f"{above} {cmd_name}".strip()) or error from error
        assert isinstance(command, click.Command)  # noqa: S101 - a programming error, not input
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self.verbs.items()))
