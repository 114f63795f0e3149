"""``thorctl status``: show the state of every device.

Modules that evaluate and show the answers (rich's tables, models, the renderer) are imported by a thread
while devices are queried: the import takes as long as a login.
"""

from __future__ import annotations

import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.owner import parse
from thorctl.protocol.plural import counted
from thorctl.protocol.states import TRIAL
from thorctl.release.desired import desired_releases, identified
from thorctl.remote.agent_call import run_verb
from thorctl.result import Problem, Result, exit_code_for
from thorctl.ui.console import Console, echo, echo_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType

    from thorctl.inventory.devices import Device
    from thorctl.release.convergence import Desired
    from thorctl.remote.answer import Answer
    from thorctl.status.model import Row

WATCH_SECONDS = 5.0


class Seconds(click.ParamType[float]):
    """A pause in seconds; its error explains a device's name in this place."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds, more than 0."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is not a number of seconds; devices stand before --watch.", param, ctx)
        return seconds


@click.command(
    epilog="""\b
Examples:
  thorctl status                      every device of the inventory
  thorctl status lab 'thor-0*'        groups, names, patterns, as in ansible --limit
  thorctl status --watch 2            again every 2 seconds, until Ctrl-C
  thorctl status thor-01 --drift      differences from its desired state
  thorctl status --json | jq '.data.devices[] | {name, release, engine}'
"""
)
@click.argument("devices", nargs=-1)
@click.option(
    "-w",
    "--watch",
    type=Seconds(),
    is_flag=False,
    flag_value=WATCH_SECONDS,
    metavar="[SECONDS]",
    help=f"Repeat, with a pause in seconds. [default pause: {WATCH_SECONDS:g}]",
)
@click.option(
    "--drift",
    "details",
    is_flag=True,
    help="Show differences: release and its files, images, checkpoint, held packages, power mode.",
)
@click.option("-v", "--verbose", is_flag=True, help="With --drift: also show settings without a difference.")
@click.option(
    "--parallel",
    "limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Number of concurrent devices.",
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    help="Time limit of the login, in seconds.",
)
@pass_context
def command(
    context: Context,
    devices: tuple[str, ...],
    *,
    watch: float | None,
    details: bool,
    verbose: bool,
    limit: int,
    connect_timeout: float,
) -> Result | None:
    """Show the release, state, engine, model and drift of devices. Changes nothing.

    Ends with the number of devices that serve the release of their profile, lock and class. Exit code 3 if
    some devices did not answer, 1 if none did; drift changes no exit code.
    """
    fleet = chosen_devices(context, devices)
    with ThreadPoolExecutor(1) as pool:
        known = pool.submit(_known, context, fleet)

        def once(heard: Callable[[Answer], None] | None = None) -> Result:
            answers = run_verb(fleet, "status", limit=limit, connect_timeout=connect_timeout, on_answer=heard)
            return _result(fleet, answers, known.result(), details=details, verbose=verbose)

        if watch is not None:
            _watch(context, once, watch)
            return None
        left = dict.fromkeys(device.name for device in fleet)
        with context.messages.status(f"Asking {counted(len(fleet), 'device')} …") as spinner:

            def heard(answer: Answer) -> None:
                left.pop(answer.device, None)
                if left:
                    spinner.update(f"Waiting for {shortened(list(left), 3)} …")

            return once(heard)


class Known(NamedTuple):
    """What is known without the devices: the release of each, and the errors of others."""

    desired: Mapping[str, Desired]
    problems: Sequence[Problem]


def _known(context: Context, fleet: Sequence[Device]) -> Known:
    """Render the desired releases and import what `_result` needs; report unknown ones."""
    from rich.text import Text

    releases = desired_releases(context.deploy, fleet)
    # An error of a device's variables is in its row.
    reasons = (releases[device.name] for device in fleet if not device.unread)
    problems = tuple(dict.fromkeys(Problem.of(one) for one in reasons if isinstance(one, ThorError)))
    for problem in problems:
        words = Text(f"desired release unknown: {problem.message} {problem.remedy}", style="yellow")
        context.messages.print(words)
    importlib.import_module("thorctl.status.view")
    return Known(identified(releases), problems)


def _at_work(row: Row) -> bool:
    """Return whether a process here runs the rollout that began the trial of this device."""
    by = row.report.activated_by
    rollout = parse(by).rollout if by and row.report.state == TRIAL else None
    if rollout is None:
        return False
    from thorctl.rollout.run.controller_lock import at_work

    return at_work(rollout)


def _result(
    fleet: Sequence[Device], answers: Sequence[Answer], known: Known, *, details: bool, verbose: bool
) -> Result:
    from thorctl.status.drift_view import DriftView
    from thorctl.status.model import rows, verdict
    from thorctl.status.view import StatusView

    table = [replace(one, at_work=_at_work(one)) for one in rows(fleet, answers, known.desired)]
    errors = tuple(row.error for row in table if row.error)
    now = datetime.now(UTC)
    return Result(
        "status",
        data={
            "at": now.isoformat(timespec="seconds"),
            "devices": [row.as_json() for row in table],
            "verdict": verdict(table),
            "wanted_unknown": [problem.message for problem in known.problems],
        },
        errors=errors,
        exit_code=exit_code_for(len(table) - len(errors), len(errors)),
        view=fit(DriftView(table, verbose=verbose) if details else StatusView(table, now)),
    )


def _watch(context: Context, once: Callable[[], Result], pause: float) -> None:
    """Show results until Ctrl-C, the usual end and therefore a success."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    try:
        if context.json or not sys.stdout.isatty():
            while True:
                _print(once(), context)
                time.sleep(pause)
        with Live(console=Console(), auto_refresh=False, screen=False) as live:
            while True:
                view = cast("RenderableType", once().view)
                looked = Text(
                    f"Last looked at {datetime.now().astimezone():%H:%M:%S}, every {pause:g} s. Ctrl-C ends.",
                    "dim",
                )
                live.update(Group(view, Text(), looked), refresh=True)
                time.sleep(pause)
    except KeyboardInterrupt:
        return


def _print(result: Result, context: Context) -> None:
    """Print one round of a watch without a terminal: one line of JSON, or the table and an empty line."""
    if context.json:
        echo_json(result.envelope())
    else:
        Console().print(result.view)
        echo()
