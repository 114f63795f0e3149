"""``thorctl rollback``: return devices to the previous release, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.detached import run_shown
from thorctl.cli.devices import chosen_devices, recognised
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.inventory.pattern import shortened
from thorctl.remote.agent_call import run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.call import Call
from thorctl.remote.detached import Task
from thorctl.result import Result
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.inventory.devices import Device


@click.command(
    epilog="""\b
Examples:
  thorctl rollback thor-07                 to the previous release; asks first
  thorctl rollback lab --dry-run           from what to what
  thorctl rollback thor-07 --leave tiny-qwable-0123456789ab --yes
"""
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--leave", metavar="RELEASE", help="Release to leave. [default: what the device serves]")
@click.option(
    "--reason",
    default="asked for by an operator",
    show_default=True,
    metavar="TEXT",
    help="Reason, kept in the events.",
)
@click.option("--parallel", type=click.IntRange(1), default=10, show_default=True, help="Devices at once.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@consent.yes_option
@pass_context
def command(
    context: Context,
    /,
    devices: tuple[str, ...],
    *,
    leave: str | None,
    reason: str,
    parallel: int,
    dry_run: bool,
    yes: bool,
) -> Result:
    """Return devices to the previous release: the last committed one, or its predecessor.

    Whatever they need is still on their disks. A device leaves the release that it is seen with; --leave
    names another one, and then nothing happens where it does not run. Exit code 4: others hold all leases.
    """
    fleet = chosen_devices(context, devices)
    looked = recognised(run_verb(fleet, "status"))
    moves = [one_line(_move(answer)) for answer in looked]
    view = fit(Text("\n".join(moves)))
    if dry_run:
        return _result(looked, view, ("state", "release", "previous"))
    if not yes:
        context.messages.print("\n".join(moves), highlight=False)
    consent.agreed(context, f"Roll back {shortened([one.name for one in fleet])}?", yes=yes)
    answers = _roll_back(context, fleet, looked, leave, reason=reason, parallel=parallel)
    view = fit(Text("\n".join(one_line(_done(answer)) for answer in answers)))
    return _result(answers, view, ("state", "release", "from"))


def _roll_back(
    context: Context,
    fleet: Sequence[Device],
    looked: Sequence[Answer],
    leave: str | None,
    *,
    reason: str,
    parallel: int,
) -> list[Answer]:
    """Roll each device back from the release of its status; a device rolled back meanwhile is left alone."""
    done = {one.device: one for one in looked if one.error}
    leaves = {one.device: leave or str(one.data.get("release") or "") for one in looked if one.ok}
    tasks = []
    for device in fleet:
        if device.name in leaves:
            release = leaves[device.name]
            words = (*([release] if release else []), "--reason", reason)
            tasks.append(Task(device, Call("rollback", words), me()))
    done |= {one.device: one for one in run_shown(context, "Rolling back", tasks, parallel=parallel)}
    return [done[device.name] for device in fleet]


def _result(answers: Sequence[Answer], view: object, keys: Sequence[str]) -> Result:
    found = [
        {"name": one.device, "ok": one.ok, **{key: one.data.get(key) for key in keys}} for one in answers
    ]
    return Result(
        "rollback",
        data={"devices": found},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=view,
    )


def _move(answer: Answer) -> str:
    if answer.error:
        return f"{answer.device}: not known: {answer.error.message}"
    data = answer.data
    return f"{answer.device}: {data.get('release') or 'nothing'} → {data.get('previous') or 'nothing'}"


def _done(answer: Answer) -> str:
    if answer.error:
        return f"{answer.device}: {answer.error.code}: {answer.error.message}"
    data = answer.data
    return f"{answer.device}: {data.get('state')}, serving {data.get('release') or 'nothing'}"
