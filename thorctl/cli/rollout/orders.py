"""``thorctl rollout pause``, ``approve``, ``abort``: orders for a rollout, whichever process runs it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.rollout.find import Order, alone, find, heard, say, state_of
from thorctl.cli.rollout.run import work
from thorctl.cli.rollout.show import standing
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.result import Exit, Result
from thorctl.store.connection import opened

if TYPE_CHECKING:
    from thorctl.store.rollouts import Rollout


@click.command(
    "pause",
    epilog="""\b
Examples:
  thorctl rollout pause --reason "storm over Oslo"
""",
)
@click.argument("rollout", required=False)
@click.option("--reason", default="", metavar="TEXT", help="Reason, kept in the history.")
@pass_context
def pause(context: Context, rollout: str | None, reason: str) -> Result:
    """Pause a rollout. Devices in progress are finished, no other begins; `resume` continues it."""
    del context
    return _order(rollout, Order("paused", _by("paused", reason)), "rollout pause")


@click.command(
    "approve",
    epilog="""\b
Examples:
  thorctl rollout approve
  thorctl rollout approve --wave 2 --yes    in advance, without a question
""",
)
@click.argument("rollout", required=False)
@click.option(
    "--wave", type=click.IntRange(2), metavar="N", help="Wave to approve. [default: the one that waits]"
)
@consent.yes_option
@pass_context
def approve(context: Context, rollout: str | None, wave: int | None, yes: bool) -> Result:
    """Approve the wave that waits for it."""
    with opened() as db:
        found = find(db, rollout)
        state = state_of(db, found)
        _check_open(found, state.ended)
        number = wave or state.asked
        if number is None:
            raise ThorError(
                "nothing_to_approve",
                f"No wave of rollout {found.id} waits for approval.",
                "Approve a later wave in advance with --wave N.",
            )
        consent.agreed(context, f"Let wave {number} of rollout {found.id} ({found.label}) begin?", yes=yes)
        say(db, found, Order("approved", _by(f"wave {number} approved", ""), number))
        context.messages.print(f"Wave {number} of rollout {found.id} is approved.", highlight=False)
        return standing(db, found, "rollout approve")


@click.command(
    "abort",
    epilog="""\b
Examples:
  thorctl rollout abort --reason "wrong tokenizer"
  thorctl rollout abort --return --yes    also roll committed devices back
""",
)
@click.argument("rollout", required=False)
@click.option("--return", "returns", is_flag=True, help="Also roll committed devices back.")
@click.option("--reason", default="", metavar="TEXT", help="Reason, kept in the history.")
@consent.yes_option
@pass_context
def abort(context: Context, rollout: str | None, returns: bool, reason: str, yes: bool) -> Result:
    """End a rollout. Devices on trial are rolled back."""
    with opened() as db:
        found = find(db, rollout)
        _check_open(found, state_of(db, found).ended, also=("incomplete",))
        consent.agreed(context, f"Abort rollout {found.id} ({found.label})?", yes=yes)
        say(db, found, Order("aborted", _by("aborted", reason), data={"returns": returns}))
        if heard(db, found):
            context.messages.print("The process that runs the rollout ends it.", highlight=False)
            return standing(db, found, "rollout abort")
        with alone(db, found):
            ended = work(context, db, found, "rollout abort", wait_for_people=False)
        # The order was executed: an abort that ends in `aborted` is a success.
        clean = ended.data.get("status") == "aborted"
        return replace(ended, exit_code=Exit.SUCCESS if clean else ended.exit_code)


def _order(rollout: str | None, order: Order, command_name: str) -> Result:
    with opened() as db:
        found = find(db, rollout)
        _check_open(found, state_of(db, found).ended)
        say(db, found, order)
        return standing(db, found, command_name)


def _check_open(rollout: Rollout, ended: str | None, also: tuple[str, ...] = ()) -> None:
    if ended is not None and ended not in also:
        raise ThorError(
            "rollout_ended",
            f"Rollout {rollout.id} has ended: {ended}.",
            "Check it in `thorctl history`, or start a new one with `thorctl rollout start`.",
        )


def _by(what: str, reason: str) -> str:
    return f"{what} by {me()}" + (f": {reason}" if reason else "")
