"""``thorctl rollout resume``: continue a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.rollout import holds as rollout_holds
from thorctl.cli.rollout.find import (
    Order,
    alone,
    check_newest,
    devices_of,
    find,
    heard,
    names_of,
    say,
    state_of,
)
from thorctl.cli.rollout.run import work
from thorctl.cli.rollout.show import standing
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.plural import counted
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.run.controller_lock import at_work
from thorctl.store.connection import opened

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from thorctl.result import Result
    from thorctl.rollout.model.state import State
    from thorctl.store.rollouts import Rollout


@click.command(
    "resume",
    short_help="Continue after a pause or a crash; catch up absent devices.",
    epilog="""\b
Examples:
  thorctl rollout resume               the last one
  thorctl rollout resume 20261125-1 --no-wait
  thorctl rollout resume --over-hold thor-07    despite its hold
""",
)
@click.argument("rollout", required=False)
@rollout_holds.over_hold
@click.option("--no-wait", is_flag=True, help="End where a wave waits for approval.")
@consent.yes_option
@pass_context
def command(context: Context, rollout: str | None, over: tuple[str, ...], no_wait: bool, yes: bool) -> Result:
    """Continue a rollout after a pause or a crash of its controller, or catch up absent devices.

    Devices with an interrupted step are observed first, so that none is changed twice. --over-hold also works
    on a running rollout.
    """
    with opened() as db:
        found = find(db, rollout)
        state = state_of(db, found)
        if state.ended in {"finished", "stopped", "aborted"}:
            return _ended(context, db, found, state)
        check_newest(db, found)
        consent.agreed(context, f"Continue rollout {found.id} ({found.label})?", yes=yes)
        if over:
            _override(context, db, found, over)
            if at_work(found.id):
                context.messages.print("The process that runs the rollout was notified.", highlight=False)
                return standing(db, found, "rollout resume")
        if _goes_on(db, found):
            context.messages.print("The process that runs the rollout continues it.", highlight=False)
            return standing(db, found, "rollout resume")
        with alone(db, found):
            return work(context, db, found, "rollout resume", wait_for_people=not no_wait)


def _ended(context: Context, db: sqlite3.Connection, found: Rollout, state: State) -> Result:
    """Return the state if every device has the release; else ``rollout_ended`` with the remedy."""
    without = [one.name for one in state.devices.values() if one.phase is not Phase.UPDATED]
    if not without:
        have = counted(state.count().well, "device has", "devices have")
        context.messages.print(
            f"Rollout {found.id} is finished: {have} the release. Nothing to do.", highlight=False
        )
        return standing(db, found, "rollout resume")
    why = f" ({state.stopped})" if state.stopped else ""
    raise ThorError(
        "rollout_ended",
        f"Rollout {found.id} is {state.ended}{why}; {counted(len(without), 'device')} without the release: "
        f"{shortened(without)}.",
        f"Read the reason with `thorctl history show {found.id}`, then start a new one: `thorctl "
        f"rollout start {found.label} {' '.join(without)}`.",
    )


def _goes_on(db: sqlite3.Connection, found: Rollout) -> bool:
    """Order a process that still finishes devices of the paused rollout to continue; return success."""
    state = state_of(db, found)
    if not (state.paused and at_work(found.id)):
        return False
    if not state.left:
        say(db, found, Order("unpaused", f"unpaused by {me()}"))
    return heard(db, found)


def _override(context: Context, db: sqlite3.Connection, found: Rollout, over: Sequence[str]) -> None:
    mine = [device for device in devices_of(context, found) if device.name in over]
    holds = dict.fromkeys(sorted(names_of(found))) | rollout_holds.ask(mine)
    rollout_holds.override(db, found, rollout_holds.chosen(over, holds, f"rollout {found.id}"))
