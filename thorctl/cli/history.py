"""``thorctl history``: rollouts started on this machine, their steps, and accepted smoke tests."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.cli.context import Context, pass_context
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.cli.rollout.find import find, state_of
from thorctl.errors import ThorError
from thorctl.files.limits import read_tail
from thorctl.result import Result
from thorctl.rollout.run.controller_lock import at_work, folder_of
from thorctl.rollout.views import events as telling
from thorctl.rollout.views import summary
from thorctl.rollout.views.plan import PADDING
from thorctl.rollout.views.rollout import RolloutView
from thorctl.store import accepted_smokes, rollouts
from thorctl.store.connection import opened
from thorctl.ui.format import age
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from thorctl.store.accepted_smokes import AcceptedSmoke
    from thorctl.store.rollouts import Line, Rollout


@click.group(
    cls=CommandGroup,
    name="history",
    invoke_without_command=True,
    epilog="""\b
Examples:
  thorctl history                          the last rollouts
  thorctl history show 20261125-1          its decisions, with reasons and operators
  thorctl history show 20261125-1 thor-07  every step on that device
  thorctl history show 20261125-1 thor-07 --logs
""",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Number of rollouts, and of accepted smoke tests, shown.",
)
@click.pass_context
def command(ctx: click.Context, number: int) -> Result | None:
    """Show the rollouts started on this machine, the newest first.

    Failed smoke tests that were accepted with `thorctl commit --accept-failed-smoke` follow, with the reason.
    `thorctl history show ROLLOUT` shows all of one rollout.
    """
    if ctx.invoked_subcommand is not None:
        return None
    with opened() as db:
        found = [_summary(db, one) for one in rollouts.newest(db, number)]
        accepted = accepted_smokes.newest(db, number)
    table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
    for title in ("Rollout", "Began", "By", "Release", "Status"):
        table.add_column(title)
    for title in ("Well", "Failed", "Absent"):
        table.add_column(title, justify="right")
    now = datetime.now(UTC)
    for one in found:
        counts = one["counts"]
        figures = (counts["well"], counts["failed"], counts["absent"])
        table.add_row(
            one["id"],
            age(one["began_at"], now),
            one["began_by"],
            one["label"],
            one["status"],
            *map(str, figures),
        )
    view: RenderableType = table if found else Text("No rollout yet: thorctl rollout start PROFILE.")
    if accepted:
        view = Group(view, Text(), _accepted(accepted, now))
    data = {"rollouts": found, "accepted_smokes": [asdict(one) for one in accepted]}
    return Result("history", data=data, view=fit(view))


def _accepted(accepted: Sequence[AcceptedSmoke], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=PADDING, header_style="bold")
    for title in ("Failed smoke test accepted", "When", "By", "Release", "Reason"):
        table.add_column(title)
    for one in accepted:
        table.add_row(one.device, age(one.at, now), one.who, one.release, one_line(one.reason))
    return table


def _summary(db: sqlite3.Connection, one: Rollout) -> dict[str, Any]:
    whole = summary.as_json(one, state_of(db, one), at_work=at_work(one.id))
    return {key: value for key, value in whole.items() if key not in {"devices", "waves", "there", "next"}}


@command.command(
    "show",
    short_help="Show one rollout, or its steps on one device.",
    epilog="""\b
Examples:
  thorctl history show                     the newest
  thorctl history show 20261125-1
  thorctl history show 20261125-1 thor-07 --logs
""",
)
@click.argument("rollout", required=False)
@click.argument("device", required=False)
@click.option(
    "--logs", is_flag=True, help="With DEVICE: also the logs of a failed engine and of earlier playbooks."
)
@pass_context
def show(context: Context, rollout: str | None, device: str | None, logs: bool) -> Result:
    """Show the decisions of a rollout with their reasons; with DEVICE its steps and logs.

    ROLLOUT is the newest one unless it is named.
    """
    del context
    with opened() as db:
        found = find(db, rollout)
        state = state_of(db, found)
        if device is not None and device not in state.devices:
            raise ThorError(
                "device_unknown",
                f"{device!r} is not in rollout {found.id}.",
                f"Name one of: {', '.join(state.devices)}.",
            )
        lines = rollouts.log(db, found.id, device=device)
    if device is None:
        events = [line for line in lines if line.verb is None]
        view: RenderableType = Group(RolloutView(found, state, at_work(found.id)), Text(), *_told(events))
        data = summary.as_json(found, state, at_work=at_work(found.id))
        return Result(
            "history show",
            data={**data, "events": [telling.line_json(line) for line in events]},
            view=fit(view),
        )
    files = log_files(found.id, device, list(dict.fromkeys(line.run for line in lines)))
    one = summary.device_json(state, state.devices[device])
    parts = [
        Text.assemble((device, "bold"), f"  {one['phase']}  {one_line(one['why'])}"),
        Text(),
        *_told(lines),
        Text(),
    ]
    for line in lines if logs else ():
        engine_log = engine_log_of(line)
        if engine_log:
            parts.append(Text(f"The engine's log, as `{line.verb}` ended at {line.at}:", style="dim"))
            parts += [Text(one_line(one)) for one in engine_log]
    for file in files:
        parts.append(Text(str(file), style="dim"))
        if logs:
            parts.append(Text(read_tail(file)))
    steps = [
        {**telling.line_json(line), "id": line.id, "step": line.step, "data": dict(line.data)}
        for line in lines
    ]
    data = {"rollout": found.id, "device": one, "steps": steps, "logs": [str(file) for file in files]}
    return Result("history show", data=data, view=fit(Group(*parts)))


def _told(lines: Sequence[Line]) -> list[Text]:
    return [Text(told) for line in lines if (told := telling.tell(line, dated=True))]


def engine_log_of(line: Line) -> list[str]:
    """Return the engine's log lines that the device sent with a failed step."""
    details = line.data.get("details")
    found = details.get("log") if isinstance(details, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


def log_files(rollout: str, device: str, runs: Sequence[str]) -> list[Path]:
    """Return the logs that playbooks of earlier versions kept of a device in a rollout, in order.

    Their folders are named ``RUN-NUMBER-PLAYBOOK``; ``runs`` are the controller's, in order.
    """
    place = {run: number for number, run in enumerate(runs)}

    def began(file: Path) -> tuple[int, str]:
        run = file.parts[-3].rsplit("-", 2)[0]
        return place.get(run, len(place)), file.parts[-3]

    return sorted(folder_of(rollout).glob(f"*/devices/{device}.log"), key=began)
