"""``thorctl commit``: keep the release on trial, or a device's first one despite a failed smoke test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click
from rich.text import Text

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices, recognised
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.inventory.pattern import shortened
from thorctl.protocol.results import Committed
from thorctl.protocol.states import COMMITTED, TRIAL
from thorctl.protocol.status import UNKNOWN, LastSmoke, Status
from thorctl.remote.agent_call import run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.result import Problem, Result
from thorctl.status.model import review_words, row
from thorctl.store import accepted_smokes
from thorctl.store.accepted_smokes import AcceptedSmoke
from thorctl.store.connection import opened
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.inventory.devices import Device

ACCEPT = "--accept-failed-smoke"


@click.command(
    epilog="""\b
Examples:
  thorctl commit thor-07                   its smoke passed; asks first
  thorctl commit thor-07 --dry-run         what would be committed
  thorctl commit thor-07 --accept-failed-smoke "the answers are right, the prompt is not" --yes
"""
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--release", metavar="RELEASE", help="Release to commit. [default: the one on trial]")
@click.option(
    ACCEPT,
    "reason",
    metavar="REASON",
    help="Commit the first release of a device although its smoke test failed, for this reason.",
)
@click.option("--parallel", type=click.IntRange(1), default=10, show_default=True, help="Concurrent devices.")
@click.option("--dry-run", is_flag=True, help="Show what would be committed; change nothing.")
@consent.yes_option
@pass_context
def command(
    context: Context,
    /,
    devices: tuple[str, ...],
    *,
    release: str | None,
    reason: str | None,
    parallel: int,
    dry_run: bool,
    yes: bool,
) -> Result:
    """Commit the release that a device has on trial, if its smoke test passed.

    The first release of a device can be committed although its smoke test failed, before its trial or its
    review ends. Reason, name and time are recorded in `thorctl history`, and in the device's events and
    status. Exit code 4: others hold all leases.
    """
    fleet = chosen_devices(context, devices)
    answers = recognised(run_verb(fleet, "status"))
    looked = [_on_trial(*one, release) for one in zip(fleet, answers, strict=False)]
    lines = [one_line(_line(answer, reason)) for answer in looked]
    if dry_run:
        return _result(looked, lines)
    if not yes:
        context.messages.print("\n".join(lines), highlight=False, markup=False)
    consent.agreed(context, f"Commit on {shortened([one.name for one in fleet])}?", yes=yes)
    answers = _commit(fleet, looked, reason, parallel)
    _record(answers)
    return _result(answers, [one_line(_done(answer)) for answer in answers])


def _on_trial(device: Device, answer: Answer, wanted: str | None) -> Answer:
    """Return the answer, or an error if no release, or another one, is on trial, or it is malformed."""
    if fault := row(device, answer, None).error:
        return replace(answer, error=fault)
    status = answer.get(Status) or UNKNOWN
    release = status.release
    if status.state == TRIAL and wanted in (None, release):
        return answer
    if status.state == COMMITTED and wanted in (None, release):
        message, remedy = f"{release} is committed already.", "Continue: nothing has to be done."
    else:
        message = (
            f"{wanted or 'No release'} is not on trial: it is {status.state}, {release or 'no release'}."
        )
        remedy = f"Check its state: `thorctl status {device.name}`."
    return replace(answer, error=Problem("bad_state", message, remedy, device.name))


def _commit(
    fleet: Sequence[Device], looked: Sequence[Answer], reason: str | None, parallel: int
) -> list[Answer]:
    """Commit on each device the release that its status has just shown."""
    done = {one.device: one for one in looked if one.error}
    seen = {one.device: str((one.get(Status) or UNKNOWN).release) for one in looked if one.ok}
    for release in dict.fromkeys(seen.values()):
        mine = [device for device in fleet if seen.get(device.name) == release]
        words = [release, *([ACCEPT, reason] if reason is not None else [])]
        for answer in run_verb(mine, "commit", words, holder=me(), limit=parallel):
            done[answer.device] = answer
    return [done[device.name] for device in fleet]


def _record(answers: Sequence[Answer]) -> None:
    """Add the acceptances of the devices to this machine's history."""
    found = [
        AcceptedSmoke(
            answer.device, str(done.release), done.accepted.at, done.accepted.by, done.accepted.reason
        )
        for answer in answers
        if answer.ok and (done := answer.get(Committed)) and done.accepted
    ]
    if found:
        with opened() as db:
            accepted_smokes.append(db, found)


def _line(answer: Answer, reason: str | None) -> str:
    if answer.error:
        return f"{answer.device}: {answer.error.message}"
    status = answer.get(Status) or UNKNOWN
    smoke = status.last_smoke or LastSmoke()
    failed = ", ".join(smoke.failed_checks or ())
    said = "passed" if smoke.passed else f"failed ({failed})" if failed else "not passed"
    review = review_words(status.review_seconds_left)
    words = [f"{answer.device}: {status.release}, smoke {said}", *([review] if review else [])]
    if reason is not None:
        words.append(f"accepted because: {reason}")
    return "; ".join(words)


def _done(answer: Answer) -> str:
    if answer.error:
        return f"{answer.device}: {answer.error.code}: {answer.error.message}"
    done = answer.get(Committed)
    why = f", although its smoke failed: {done.accepted.reason}" if done and done.accepted else ""
    return f"{answer.device}: {done.release if done else 'the release'} is committed{why}"


def _result(answers: Sequence[Answer], lines: Sequence[str]) -> Result:
    keys = ("state", "release", "accepted")
    found = [
        {"name": one.device, "ok": one.ok, **{key: one.data.get(key) for key in keys}} for one in answers
    ]
    return Result(
        "commit",
        data={"devices": found},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(Text("\n".join(lines))),
    )
