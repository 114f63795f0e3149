"""``thorctl activate``: switch devices to a staged release, on trial."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.detached import run_shown
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.cli.release_of import chosen_releases, planned
from thorctl.cli.smoke import me
from thorctl.inventory.pattern import shortened
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.detached import Task
from thorctl.result import Problem, Result
from thorctl.rollout.model.state import activate_seconds
from thorctl.rollout.run.step_call import activate_call
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIAL_SECONDS = 1800
KEYS = ("release", "state", "deadline", "previous", "ready_seconds")


@click.command(
    epilog="""\b
Examples:
  thorctl activate thor-07                 its release of the inventory, staged before; asks first
  thorctl activate thor-07 --dry-run
  thorctl activate thor-07 --trial 3600 --yes && thorctl smoke thor-07 && thorctl commit thor-07 --yes
"""
)
@click.argument("devices", nargs=-1, required=True)
@click.option(
    "--release",
    "wanted",
    metavar="RELEASE",
    help="Profile, release id, or folder of `thorctl render`. [default: thor_profile of the inventory]",
)
@click.option(
    "--trial",
    "trial_seconds",
    type=click.IntRange(1),
    default=TRIAL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Length of the trial; a device that is not committed by then rolls back.",
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
    wanted: str | None,
    trial_seconds: int,
    parallel: int,
    dry_run: bool,
    yes: bool,
) -> Result:
    """Switch devices to a staged release, on trial, and wait until its engine is ready.

    Ask it with `thorctl smoke`, then keep it with `thorctl commit`; without a commit the device rolls back by
    itself at the end of the trial, and at once if the engine does not get ready. The device works on its own:
    a broken connection or Ctrl-C stops nothing. For many devices use `thorctl rollout`.

    Exit code 0 when every device serves it, 3 when some do, 1 when none does, 4 when others hold all leases.
    """
    fleet = chosen_devices(context, devices)
    releases = chosen_releases(context, fleet, wanted)
    plans = [_staged(answer) for answer in planned(context, fleet, releases)]
    lines = [_plan_line(answer, trial_seconds) for answer in plans]
    if dry_run:
        return _result(plans, lines, ("release", "already"))
    if not yes:
        context.messages.print("\n".join(lines), highlight=False, markup=False)
    consent.agreed(context, f"Activate on {shortened([one.name for one in fleet])}?", yes=yes)
    left_out = {one.device: one for one in plans if one.error}
    tasks = [
        Task(
            device,
            activate_call(releases[device.name].id, trial_seconds),
            me(),
            seconds=activate_seconds(releases[device.name].document()),
        )
        for device in fleet
        if device.name not in left_out
    ]
    done = {one.device: one for one in run_shown(context, "Activating", tasks, parallel=parallel)}
    answers = [left_out.get(device.name) or done[device.name] for device in fleet]
    return _result(answers, [_line(answer) for answer in answers], KEYS)


def _staged(answer: Answer) -> Answer:
    """Return the answer; an error where the release is not staged: the activation would be refused."""
    if answer.error or answer.data.get("already") != "absent":
        return answer
    name, release = answer.device, answer.data.get("release")
    remedy = f"Stage it first: `thorctl stage {name} --release {release}`."
    return replace(answer, error=Problem("not_staged", f"{release} is not staged.", remedy, name))


def _plan_line(answer: Answer, trial_seconds: int) -> str:
    if answer.error:
        return one_line(f"{answer.device}: {answer.error.message}")
    if answer.data.get("already") == "committed":
        return one_line(f"{answer.device}: {answer.data.get('release')} is committed")
    return one_line(f"{answer.device}: to {answer.data.get('release')}, on trial for {trial_seconds} s")


def _line(answer: Answer) -> str:
    if answer.error:
        return one_line(f"{answer.device}: {answer.error.code}: {answer.error.message}")
    data = answer.data
    if data.get("state") == "committed":
        return one_line(f"{answer.device}: {data.get('release')} is committed")
    words = f"{data.get('release')} is on trial until {data.get('deadline')}"
    ways = f"thorctl smoke {answer.device}, then thorctl commit {answer.device}"
    return one_line(f"{answer.device}: {words}; {ways}")


def _result(answers: Sequence[Answer], lines: Sequence[str], keys: Sequence[str]) -> Result:
    found: list[dict[str, Any]] = [
        {"name": one.device, "ok": one.ok, **{key: one.data.get(key) for key in keys}} for one in answers
    ]
    return Result(
        "activate",
        data={"devices": found},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(Text("\n".join(lines))),
    )
