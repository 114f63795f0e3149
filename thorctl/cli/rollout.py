"""``thorctl rollout``: a release through a fleet in waves; plan, start, watch, pause, resume, abort."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console
from rich.live import Live

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.output import fit
from thorctl.cli.rollout_run import (
    Order,
    check_alone,
    check_newest,
    find,
    say,
    standing,
    state_of,
    work,
)
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.result import Exit, Result
from thorctl.rollout import plan as plans
from thorctl.rollout import policy as policies
from thorctl.rollout import prepare, words
from thorctl.rollout.at_work import at_work
from thorctl.rollout.view import PlanView
from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.store.rollouts import Rollout

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from rich.console import RenderableType

    from thorctl.rollout.plan import Plan
    from thorctl.rollout.policy import Policy
    from thorctl.rollout.prepare import Given

POLICY = "careful"
WATCH_SECONDS = 2.0


@click.group(
    name="rollout",
    epilog="""\b
Examples:
  thorctl rollout plan tiny-qwable                who would change when; changes nothing
  thorctl rollout start tiny-qwable               with the policy `careful`
  thorctl rollout start tiny-qwable lab --policy one-by-one --soak 300
  thorctl rollout status --watch                  the last one
  thorctl rollout approve                         let the next wave begin
  thorctl rollout pause | resume | abort [--return]
""",
)
def command() -> None:
    """A release through a fleet in waves: staged first, tried, judged, kept or returned.

    A rollout survives its own controller: whatever kills it, `thorctl rollout resume` goes on where it was.
    docs/rollout.md says what is decided when.
    """


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of ``plan`` and ``start``."""
    for decorate in reversed(
        [
            click.argument("release"),
            click.argument("devices", nargs=-1),
            click.option("--policy", "name", default=POLICY, show_default=True, help="Of deploy/policies."),
            click.option("--canary", type=click.IntRange(1), metavar="N", help="So many devices first."),
            click.option("--soak", type=click.IntRange(0), metavar="SECONDS", help="For every wave."),
            click.option("--parallel", type=click.IntRange(1), metavar="N", help="Out of service at once."),
            click.option("--stop-at", type=click.IntRange(1), metavar="N", help="Stop at so many failures."),
            click.option("--approve", type=click.Choice(["never", "after_canary", "each_wave"])),
            click.option("--on-stop", type=click.Choice(["keep", "return"])),
            click.option(
                "--speed-tolerance", type=click.FloatRange(0, 100, max_open=True), metavar="PERCENT",
                help="So much slower than before is still well.",
            ),
        ]
    ):  # fmt: skip
        function = decorate(function)
    return function


@command.command(
    "plan",
    short_help="Say who would change when, and what it takes. Changes nothing.",
    epilog="""\b
Examples:
  thorctl rollout plan tiny-qwable
  thorctl rollout plan tiny-qwable lab --canary 2 --soak 300
  thorctl rollout plan tiny-qwable --json | jq .data.plan
""",
)
@planned
@pass_context
def plan(context: Context, /, release: str, devices: tuple[str, ...], name: str, **options: Any) -> Result:
    """Say who would change when, from what to what, how much is downloaded and how long it takes.

    RELEASE is a profile, a release's id, or a folder of `thorctl render`. Asks every device, changes nothing.
    """
    made, _, _ = _plan(context, release, devices, name, options)
    return Result("rollout plan", data={"plan": made.document()}, view=fit(PlanView(made)))


@command.command(
    "start",
    epilog="""\b
Examples:
  thorctl rollout start tiny-qwable
  thorctl rollout start tiny-qwable --dry-run
  thorctl rollout start tiny-qwable lab --policy one-by-one --approve after_canary
""",
)
@planned
@click.option("--dry-run", is_flag=True, help="As `thorctl rollout plan`.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before it begins.")
@click.option("--no-wait", is_flag=True, help="End when a person must approve, instead of waiting for it.")
@pass_context
def start(
    context: Context,
    /,
    release: str,
    devices: tuple[str, ...],
    name: str,
    *,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    **options: Any,
) -> Result:
    """Roll RELEASE out: a profile, a release's id, or a folder of `thorctl render`.

    Everything is staged first. Then wave by wave: lease, activation on trial, smoke test, speed, soak; a
    device that is not well returns alone, and too many of them stop everything.

    Exit code 0 when all are updated, 3 when some failed or were absent, 1 when it stopped.
    """
    made, policy, given = _plan(context, release, devices, name, options)
    view = fit(PlanView(made))
    if dry_run or not made.waves:
        return Result("rollout start", data={"plan": made.document()}, view=view)
    if sys.stdin.isatty() and not yes and not context.json:
        Console(stderr=True).print(view, markup=False)
        click.confirm("Begin?", abort=True, err=True)
    began = Rollout(
        datetime.now(UTC).isoformat(timespec="seconds"),
        me(),
        release,
        policy.model_dump(mode="json"),
        made.document(),
        given.documents,
    )
    with opened() as db:
        check_alone(db, {one.name for one in made.devices})
        kept = rollouts.put(db, began)
        context.messages.print(f"rollout {kept.id}", highlight=False)
        return work(context, db, kept, "rollout start", wait_for_people=not no_wait)


def _plan(
    context: Context, wanted: str, patterns: tuple[str, ...], name: str, options: dict[str, Any]
) -> tuple[Plan, Policy, Given]:
    fleet = chosen_devices(context, patterns)
    policy = policies.changed(policies.load(context.deploy, name), keys(options))
    given = prepare.releases(context.deploy, wanted, Path(wanted), fleet)
    with context.messages.status(f"Asking {len(fleet)} device{'s'[: len(fleet) != 1]} …"):
        seen = prepare.look(fleet, given)
    with opened() as db:
        rates = prepare.rates(db, fleet)
    made = plans.make(prepare.candidates(fleet, given), policy, seen, rates, datetime.now(UTC))
    return made, policy, given


def keys(options: dict[str, Any]) -> dict[str, Any]:
    """The keys of a policy that options of the command line stand for."""
    names = {"soak": "soak_seconds", "parallel": "parallel", "approve": "approve", "on_stop": "on_stop"}
    found: dict[str, Any] = {
        key: options[name] for name, key in names.items() if options.get(name) is not None
    }
    if options.get("canary") is not None:
        found["canary"] = {"count": options["canary"]}
        if options.get("soak") is not None:
            found["canary"]["soak_seconds"] = options["soak"]
    if options.get("stop_at") is not None:
        found["errors"] = {"stop_at_devices": options["stop_at"]}
    if options.get("speed_tolerance") is not None:
        found["speed"] = {"tolerance_percent": options["speed_tolerance"]}
    return found


@command.command(
    "status",
    epilog="""\b
Examples:
  thorctl rollout status                the last one
  thorctl rollout status 20261125-1 --watch
""",
)
@click.argument("rollout", required=False)
@click.option("-w", "--watch", is_flag=True, help="Until it ends, or Ctrl-C.")
@pass_context
def status(context: Context, rollout: str | None, watch: bool) -> Result:
    """Show where a rollout stands: waves, devices, and what goes on. Without an id the last one."""
    with opened() as db:
        found = find(db, rollout)
        if watch:
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it
                _watch(context, db, found)
        shown = standing(db, found)
        return replace(shown, line=watch)


def _watch(context: Context, db: sqlite3.Connection, found: Rollout) -> None:
    """Shows it until it ends: live on a terminal, else a line for what happens."""
    if context.json or not sys.stdout.isatty():
        last = 0
        while True:
            lines = rollouts.log(db, found.id, after=last)
            for line in lines:
                last = line.id
                told = (
                    json.dumps(words.line_json(line), ensure_ascii=False)
                    if context.json
                    else words.tell(line)
                )
                if told:
                    click.echo(told)
            if state_of(db, found).ended:
                return
            time.sleep(WATCH_SECONDS)
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        while not state_of(db, found).ended:
            live.update(cast("RenderableType", standing(db, found).view), refresh=True)
            time.sleep(WATCH_SECONDS)


@command.command(
    "pause",
    epilog="""\b
Examples:
  thorctl rollout pause --reason "storm over Oslo"
""",
)
@click.argument("rollout", required=False)
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@pass_context
def pause(context: Context, rollout: str | None, reason: str) -> Result:
    """Begin nothing more. Devices that are being changed are finished; `resume` goes on."""
    del context
    return _order(rollout, Order("paused", _by("paused", reason)), "rollout pause")


@command.command(
    "approve",
    epilog="""\b
Examples:
  thorctl rollout approve
  thorctl rollout approve --wave 2    in advance
""",
)
@click.argument("rollout", required=False)
@click.option("--wave", type=click.IntRange(2), metavar="N", help="Which one. [default: the one that waits]")
@pass_context
def approve(context: Context, rollout: str | None, wave: int | None) -> Result:
    """Let the wave begin that waits for a person."""
    with opened() as db:
        found = find(db, rollout)
        state = state_of(db, found)
        _check_open(found, state.ended)
        number = wave or state.asked
        if number is None:
            raise ThorError(
                "nothing_to_approve",
                f"No wave of rollout {found.id} waits for approval.",
                "Approve one in advance with --wave N.",
                exit_code=Exit.USAGE,
            )
        say(db, found, Order("approved", _by(f"wave {number} approved", ""), number))
        context.messages.print(f"wave {number} of rollout {found.id} is approved", highlight=False)
        return standing(db, found, "rollout approve")


@command.command(
    "resume",
    short_help="Go on after a pause or a crash; catch up absent devices.",
    epilog="""\b
Examples:
  thorctl rollout resume               the last one
  thorctl rollout resume 20261125-1 --no-wait
""",
)
@click.argument("rollout", required=False)
@click.option("--no-wait", is_flag=True, help="End when a person must approve, instead of waiting for it.")
@pass_context
def resume(context: Context, rollout: str | None, no_wait: bool) -> Result:
    """Go on with a rollout: after a pause, a crash of its controller, or to catch up absent devices.

    What was under way is looked at first: no device is changed twice, none is forgotten.
    """
    with opened() as db:
        found = find(db, rollout)
        state = state_of(db, found)
        if state.ended in {"finished", "stopped", "aborted"}:
            context.messages.print(f"rollout {found.id} has ended: {state.ended}", highlight=False)
            return standing(db, found, "rollout resume")
        check_newest(db, found)
        return work(context, db, found, "rollout resume", wait_for_people=not no_wait)


@command.command(
    "abort",
    epilog="""\b
Examples:
  thorctl rollout abort --reason "wrong tokenizer"
  thorctl rollout abort --return --yes    committed devices go back, too
""",
)
@click.argument("rollout", required=False)
@click.option("--return", "returns", is_flag=True, help="Devices that were committed already return, too.")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def abort(context: Context, rollout: str | None, returns: bool, reason: str, yes: bool) -> Result:
    """Stop a rollout for good. Devices on trial return to the release they had."""
    with opened() as db:
        found = find(db, rollout)
        _check_open(found, state_of(db, found).ended, also=("incomplete",))
        if sys.stdin.isatty() and not yes and not context.json:
            click.confirm(f"Abort rollout {found.id} ({found.label})?", abort=True, err=True)
        busy = at_work(found.id)
        say(db, found, Order("aborted", _by("aborted", reason), returns=returns))
        if busy:
            context.messages.print("the thorctl that works on it brings it to an end", highlight=False)
            return standing(db, found, "rollout abort")
        ended = work(context, db, found, "rollout abort", wait_for_people=False)
        # What was asked for was done: an abort that ends in `aborted` is a success.
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
            "See `thorctl history`; a new one begins with `thorctl rollout start`.",
            exit_code=Exit.USAGE,
        )


def _by(what: str, reason: str) -> str:
    return f"{what} by {me()}" + (f": {reason}" if reason else "")
