"""``thorctl hold``: show, set or release a device's veto against activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.table import Table

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices, run_where_recognised
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.inventory.pattern import shortened
from thorctl.remote.agent_call import run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.result import Result
from thorctl.ui.format import NOTHING, moment
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(
    cls=CommandGroup,
    name="hold",
    epilog="""\b
Examples:
  thorctl hold show                                 which devices are on hold, and why
  thorctl hold set thor-07 --reason "on patrol"     no release is activated on it
  thorctl hold release thor-07
""",
)
def command() -> None:
    """Show, set or release holds. No release is activated on a device on hold.

    Staging, commit and rollback are not affected. The device's own software sets a hold, or an operator. It
    ends when it is released, or with a restart of the device. Rollouts wait for its end, or override it by
    name (--over-hold).
    """


@command.command(
    "show",
    epilog="""\b
Examples:
  thorctl hold show              every device of the inventory
  thorctl hold show lab --json
""",
)
@click.argument("devices", nargs=-1)
@pass_context
def show(context: Context, devices: tuple[str, ...]) -> Result:
    """Show which devices are on hold, why and since when."""
    return _result("show", run_verb(chosen_devices(context, devices), "hold", ("show",)))


@command.command(
    "set",
    epilog="""\b
Examples:
  thorctl hold set thor-07 --reason "on patrol"
  thorctl hold set lab --reason "visitors until five" --yes
""",
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="TEXT", help="Reason, shown to others.")
@consent.yes_option
@pass_context
def set_(context: Context, devices: tuple[str, ...], reason: str, yes: bool) -> Result:
    """Put devices on hold. A device already on hold gets the new reason and keeps its time."""
    fleet = chosen_devices(context, devices)
    consent.agreed(context, f"Put {shortened([one.name for one in fleet])} on hold?", yes=yes)
    return _result("set", run_where_recognised(fleet, "hold", ("set", "--", reason), holder=me()))


@command.command(
    "release",
    short_help="End the holds of devices.",
    epilog="""\b
Examples:
  thorctl hold release thor-07
  thorctl hold release lab --reason "visitors until five" --yes    only holds with this reason
""",
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Reason of the hold to release. [default: the present hold]")
@consent.yes_option
@pass_context
def release(context: Context, devices: tuple[str, ...], reason: str | None, yes: bool) -> Result:
    """End the holds of devices. A hold that was set meanwhile is kept."""
    fleet = chosen_devices(context, devices)
    seen = run_where_recognised(fleet, "hold", ("show",))
    if not yes:
        context.messages.print("\n".join(one_line(" ".join(_row(one))) for one in seen), highlight=False)
    consent.agreed(context, f"Release the hold of {shortened([one.name for one in fleet])}?", yes=yes)
    done = {one.device: one for one in seen}
    holds = {one.device: why for one in seen if one.ok and (why := _reason(one)) and reason in {None, why}}
    for why in dict.fromkeys(holds.values()):
        mine = [device for device in fleet if holds.get(device.name) == why]
        answers = run_verb(mine, "hold", ("clear", "--", why), holder=me())
        done |= {one.device: one for one in answers}
    return _result("release", [done[device.name] for device in fleet])


def _reason(answer: Answer) -> str:
    hold = answer.data.get("hold")
    return str(hold.get("reason")) if isinstance(hold, dict) else ""


def _row(answer: Answer) -> tuple[str, str, str]:
    hold = answer.data.get("hold")
    if not answer.ok:
        return (answer.device, NOTHING, f"unknown: {answer.error.code}" if answer.error else "unknown")
    if not isinstance(hold, dict):
        return (answer.device, NOTHING, "not on hold")
    return (answer.device, moment(hold.get("since")), str(hold.get("reason")))


def _result(action: str, answers: Sequence[Answer]) -> Result:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Device", "Since", "On hold for"):
        table.add_column(title)
    for answer in answers:
        table.add_row(*_row(answer))
    found = [{"name": one.device, "hold": one.data.get("hold"), "ok": one.ok} for one in answers]
    return Result(
        f"hold {action}",
        data={"devices": found},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(table),
    )
