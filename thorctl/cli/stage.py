"""``thorctl stage``: put all bytes of a release on devices and verify them; nothing that runs changes."""

from __future__ import annotations

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
from thorctl.result import Result
from thorctl.rollout.run.step_call import stage_call
from thorctl.ui.format import data_size
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS = ("release", "downloaded_bytes", "seconds")
PLANNED = ("release", "already", "download_bytes", "free_bytes")


@click.command(
    epilog="""\b
Examples:
  thorctl stage thor-07                    its release of the inventory; asks first
  thorctl stage lab --dry-run              what would be downloaded
  thorctl stage thor-07 --release tiny-qwable-other --yes
  thorctl stage lab --yes --json | jq '.data.devices[] | {name, downloaded_bytes}'
"""
)
@click.argument("devices", nargs=-1, required=True)
@click.option(
    "--release",
    "wanted",
    metavar="RELEASE",
    help="Profile, release id, or folder of `thorctl render`. [default: thor_profile of the inventory]",
)
@click.option("--parallel", type=click.IntRange(1), default=10, show_default=True, help="Devices at once.")
@click.option("--dry-run", is_flag=True, help="Show what would be downloaded; change nothing.")
@consent.yes_option
@pass_context
def command(
    context: Context,
    /,
    devices: tuple[str, ...],
    *,
    wanted: str | None,
    parallel: int,
    dry_run: bool,
    yes: bool,
) -> Result:
    """Download a release to devices and verify every file. What they serve stays as it is.

    The device works on its own: a broken connection or Ctrl-C stops nothing, and the same command waits for
    it again. An interrupted download continues where it was. `thorctl activate` switches to the release.

    Exit code 0 when every device has it, 3 when some have, 1 when none has, 4 when others hold all leases.
    """
    fleet = chosen_devices(context, devices)
    releases = chosen_releases(context, fleet, wanted)
    plans = planned(context, fleet, releases)
    lines = [_plan_line(answer) for answer in plans]
    if dry_run:
        return _result(plans, lines, PLANNED)
    if not yes:
        context.messages.print("\n".join(lines), highlight=False, markup=False)
    consent.agreed(context, f"Stage on {shortened([one.name for one in fleet])}?", yes=yes)
    left_out = {one.device: one for one in plans if one.error}
    tasks = [
        Task(
            device,
            stage_call(releases[device.name].document()),
            me(),
            seconds=device.stage_seconds or None,
        )
        for device in fleet
        if device.name not in left_out
    ]
    done = {one.device: one for one in run_shown(context, "Staging", tasks, parallel=parallel)}
    answers = [left_out.get(device.name) or done[device.name] for device in fleet]
    return _result(answers, [_line(answer) for answer in answers], KEYS)


def _plan_line(answer: Answer) -> str:
    if answer.error:
        return one_line(f"{answer.device}: {answer.error.message}")
    if answer.data.get("already") != "absent":
        return one_line(f"{answer.device}: {answer.data.get('release')} is there")
    size = answer.data.get("download_bytes")
    known = data_size(size) if isinstance(size, int) else "an unknown amount"
    return one_line(f"{answer.device}: {answer.data.get('release')}, {known} to download")


def _line(answer: Answer) -> str:
    if answer.error:
        return one_line(f"{answer.device}: {answer.error.code}: {answer.error.message}")
    size, seconds = (answer.data.get(key) for key in KEYS[1:])
    came = ""
    if isinstance(size, int) and isinstance(seconds, (int, float)):
        came = f"; {data_size(size)} downloaded in {seconds:.0f} s" if size else "; nothing was downloaded"
    return one_line(f"{answer.device}: {answer.data.get('release')} is staged{came}")


def _result(answers: Sequence[Answer], lines: Sequence[str], keys: Sequence[str]) -> Result:
    found: list[dict[str, Any]] = [
        {"name": one.device, "ok": one.ok, **{key: one.data.get(key) for key in keys}} for one in answers
    ]
    return Result(
        "stage",
        data={"devices": found},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(Text("\n".join(lines))),
    )
