"""The group of commands that all verbs use: an unknown command lists the known ones and names the nearest."""

from __future__ import annotations

import click

from thorctl.ui.nearest import nearest


class CommandGroup(click.Group):
    """``click.Group`` whose error on an unknown command names the nearest one and lists all."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; raises ``click.UsageError`` with the known commands."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            guess = nearest(args[0], known)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint} Commands: {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)
