"""``thorctl rollout status``: show the state of a rollout, once or until it ends."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from rich.live import Live

from thorctl.cli.context import Context, pass_context
from thorctl.cli.rollout.find import find, state_of
from thorctl.cli.rollout.show import standing
from thorctl.rollout.journal.record import SteadyClock
from thorctl.rollout.run.controller_lock import at_work
from thorctl.rollout.views import events
from thorctl.rollout.views.rollout import RolloutView
from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.ui.console import Console, echo, echo_json

if TYPE_CHECKING:
    import sqlite3

    from thorctl.result import Result
    from thorctl.store.rollouts import Rollout

WATCH_SECONDS = 2.0


@click.command(
    "status",
    epilog="""\b
Examples:
  thorctl rollout status                the last one
  thorctl rollout status 20261125-1 --watch
""",
)
@click.argument("rollout", required=False)
@click.option("-w", "--watch", is_flag=True, help="Update until the rollout ends, or Ctrl-C.")
@pass_context
def status(context: Context, rollout: str | None, watch: bool) -> Result:
    """Show the state of a rollout and of its waves and devices. Without an id: the last one."""
    with opened() as db:
        found = find(db, rollout)
        if watch:
            with contextlib.suppress(KeyboardInterrupt):  # the usual end
                _watch(context, db, found)
        shown = standing(db, found)
        return replace(shown, line=watch)


def _watch(context: Context, db: sqlite3.Connection, found: Rollout) -> None:
    """Show it until it ends: live on a terminal, else a line per event."""
    if context.json or not sys.stdout.isatty():
        last = 0
        while True:
            lines = rollouts.log(db, found.id, after=last)
            for line in lines:
                last = line.id
                if context.json:
                    echo_json(events.line_json(line))
                elif words := events.tell(line):
                    echo(words)
            if state_of(db, found).ended:
                return
            time.sleep(WATCH_SECONDS)
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        while not (state := state_of(db, found)).ended:
            now = SteadyClock().wall()
            live.update(RolloutView(found, state, at_work(found.id), now=now, live=True), refresh=True)
            time.sleep(WATCH_SECONDS)
