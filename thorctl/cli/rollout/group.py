"""``thorctl rollout``: plan and start a rollout.

The other verbs have modules of their own: status, orders, resume.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.cli.rollout import holds as rollout_holds
from thorctl.cli.rollout import orders
from thorctl.cli.rollout import resume as rollout_resume
from thorctl.cli.rollout import status as rollout_status
from thorctl.cli.rollout.find import check_alone, check_unfinished
from thorctl.cli.rollout.run import work
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted
from thorctl.result import Result
from thorctl.rollout import plan as plans
from thorctl.rollout import policy_file as policies
from thorctl.rollout.run import preparation
from thorctl.rollout.run.controller_lock import only_one, starting
from thorctl.rollout.views.plan import PlanView
from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.store.rollouts import Rollout
from thorctl.ui.console import Console

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from thorctl.rollout.plan import Plan
    from thorctl.rollout.policy import Policy
    from thorctl.rollout.run.preparation import Given

POLICY = "careful"


@click.group(
    cls=CommandGroup,
    name="rollout",
    epilog="""\b
Examples:
  thorctl rollout plan tiny-qwable                show the plan; changes nothing
  thorctl rollout start tiny-qwable               with the policy `careful`
  thorctl rollout start tiny-qwable lab --policy one-by-one --soak 300
  thorctl rollout status --watch                  the last one
  thorctl rollout approve                         let the next wave begin
  thorctl rollout pause | resume | abort [--return]
  thorctl rollout resume --over-hold thor-07      despite the device's hold
""",
)
def command() -> None:
    """Roll a release out in waves: staged first, then on trial, then kept or rolled back.

    After a crash of its controller `thorctl rollout resume` continues a rollout.
    docs/explanation/rollout.md describes the decisions.
    """


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments of ``plan`` and ``start``."""
    for decorate in reversed(
        [
            click.argument("release"),
            click.argument("devices", nargs=-1),
            click.option("--policy", "name", default=POLICY, show_default=True, help="In deploy/policies."),
            click.option(
                "--canary", type=click.IntRange(1), metavar="N", help="Number of devices in the first wave."
            ),
            click.option("--soak", type=click.IntRange(0), metavar="SECONDS", help="Soak of every wave."),
            click.option(
                "--parallel", type=click.IntRange(1), metavar="N", help="Most devices out of service."
            ),
            click.option(
                "--stop-at", type=click.IntRange(1), metavar="N", help="Failed devices that stop the rollout."
            ),
            click.option(
                "--approve", type=click.Choice(["never", "after_canary", "each_wave"]),
                help="Waves that need approval.",
            ),
            click.option(
                "--on-stop", type=click.Choice(["keep", "return"]),
                help="Whether committed devices are rolled back when the rollout stops.",
            ),
            click.option(
                "--speed-tolerance", type=click.FloatRange(0, 100, max_open=True), metavar="PERCENT",
                help="Accepted slowdown against the previous release, in percent.",
            ),
            click.option(
                "--wait-hold", type=click.IntRange(0), metavar="SECONDS",
                help="Longest wait for a device on hold, in its wave; then it is caught up later.",
            ),
        ]
    ):  # fmt: skip
        function = decorate(function)
    return function


@command.command(
    "plan",
    short_help="Show which devices would change, and when. Changes nothing.",
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
    """Show which devices would change when, the download and the time. Changes nothing.

    RELEASE is a profile, a release's id, or a folder of `thorctl render`. Every device is queried. Options
    override the policy's.
    """
    made, _, _ = _plan(context, release, devices, name, options)
    return Result("rollout plan", data={"plan": made.document()}, view=fit(PlanView(made)))


@command.command(
    "start",
    short_help="Roll a release out to devices in waves.",
    epilog="""\b
Examples:
  thorctl rollout start tiny-qwable
  thorctl rollout start tiny-qwable --dry-run
  thorctl rollout start tiny-qwable lab --policy one-by-one --approve after_canary
  thorctl rollout start tiny-qwable --wait-hold 3600 --over-hold thor-07
""",
)
@planned
@rollout_holds.over_hold
@click.option("--dry-run", is_flag=True, help="Show the plan, as `thorctl rollout plan`; change nothing.")
@consent.yes_option
@click.option("--no-wait", is_flag=True, help="End where a wave waits for approval.")
@pass_context
def start(
    context: Context,
    /,
    release: str,
    devices: tuple[str, ...],
    name: str,
    *,
    over: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    **options: Any,
) -> Result:
    """Roll RELEASE out: a profile, a release's id, or a folder of `thorctl render`.

    Devices are checked before anything is downloaded, and staged before anything changes. Then wave by wave:
    lease, activation on trial, smoke test, speed, soak. An unhealthy device is rolled back; too many of them
    stop the rollout.

    Exit code 0 when all are updated, 3 when some failed or were absent, 1 when it stopped.
    """
    made, policy, given = _plan(context, release, devices, name, options)
    holds = rollout_holds.chosen(over, {one.name: one.hold for one in made.devices}, "this rollout")
    view = fit(PlanView(made))
    if dry_run or not made.waves:
        return Result("rollout start", data={"plan": made.document()}, view=view)
    _check_agents(made)
    with opened() as db:
        _check_free(db, made)
    if not yes:
        Console(stderr=True).print(view)
    consent.agreed(context, f"Begin the rollout of {release}?", yes=yes)
    began = Rollout(
        datetime.now(UTC).isoformat(timespec="seconds"),
        me(),
        release,
        policy.model_dump(mode="json"),
        replace(made, token=secrets.token_hex(4)).document(),
        given.documents,
    )
    with opened() as db, ExitStack() as stack:
        with starting():
            _check_free(db, made)
            kept = rollouts.put(db, began)
            stack.enter_context(only_one(kept.id))
        context.messages.print(f"rollout {kept.id}", highlight=False)
        rollout_holds.override(db, kept, holds)
        return work(context, db, kept, "rollout start", wait_for_people=not no_wait)


def _check_agents(made: Plan) -> None:
    """Refuses to begin with devices whose agent has to be updated: a rollout changes nothing of the host."""
    if made.outdated:
        problem = plans.agent_too_old(made.outdated)
        leave = ",".join(("all", *(f"!{name}" for name in made.outdated)))
        remedy = f"{problem.remedy} Or leave them out: '{leave}'."
        raise ThorError(problem.code, problem.message, remedy)


def _check_free(db: sqlite3.Connection, made: Plan) -> None:
    names = {one.name for one in made.devices}
    check_alone(db, names)
    check_unfinished(db, names)


def _plan(
    context: Context, wanted: str, patterns: tuple[str, ...], name: str, options: dict[str, Any]
) -> tuple[Plan, Policy, Given]:
    fleet = chosen_devices(context, patterns)
    policy = policies.changed(policies.load(context.deploy, name), options)
    given = preparation.releases(context.deploy, wanted, Path(wanted), fleet)
    with context.messages.status(f"Asking {counted(len(fleet), 'device')} …"):
        seen = preparation.look(fleet, given)
    with opened() as db:
        rates = preparation.rates(db, fleet)
    made = plans.make(preparation.candidates(fleet, given), policy, seen, rates, datetime.now(UTC))
    return made, policy, given


for one in (rollout_status.status, orders.pause, orders.approve, rollout_resume.command, orders.abort):
    command.add_command(one)
