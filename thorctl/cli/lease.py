"""``thorctl lease``: show, take or give back an operator's right to change a device."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from thorctl.cli import consent
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices, run_where_recognised
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.protocol.owner import lease_reason, owner_of
from thorctl.remote.agent_call import run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.result import Result
from thorctl.ui.format import NOTHING, moment
from thorctl.ui.printable import one_line

HOUR = 3600


@click.group(
    cls=CommandGroup,
    name="lease",
    epilog="""\b
Examples:
  thorctl lease show                               who holds which device, why, until when
  thorctl lease take thor-07 --reason "new antenna"  no other operator changes it for an hour
  thorctl lease give thor-07                       your own; --force for another operator's
""",
)
def command() -> None:
    """Show, take or give back the right to change a device. A rollout takes it for its own changes.

    A lease is stored on the device: it is valid for every controller, and expires.
    """


@command.command(
    "show",
    epilog="""\b
Examples:
  thorctl lease show              every device of the inventory
  thorctl lease show lab --json
""",
)
@click.argument("devices", nargs=-1)
@pass_context
def show(context: Context, devices: tuple[str, ...]) -> Result:
    """Show who holds each device, why and until when."""
    return _lease(context, devices, "show")


@command.command(
    "take",
    epilog="""\b
Examples:
  thorctl lease take thor-07 --reason "new antenna"
  thorctl lease take lab --reason "site visit" --ttl 14400    for four hours
""",
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--reason", required=True, metavar="TEXT", help="Reason, shown to others.")
@click.option(
    "--ttl", type=click.IntRange(1), default=HOUR, show_default=True, metavar="SECONDS", help="Duration."
)
@click.option("--force", is_flag=True, help="Replace the lease of another operator or of a rollout.")
@consent.yes_option
@pass_context
def take(
    context: Context, /, devices: tuple[str, ...], *, reason: str, ttl: int, force: bool, yes: bool
) -> Result:
    """Take the lease of each device, or renew it. Exit code 4 if others hold all of them.

    A lease has one purpose: your rollout's lease does not allow changes by hand, and vice versa.
    """
    if force:
        _agreed(context, devices, yes=yes)
    words = ["--reason", reason, "--ttl", str(ttl), *(["--force"] if force else [])]
    return _lease(context, devices, "take", *words)


@command.command(
    "give",
    epilog="""\b
Examples:
  thorctl lease give thor-07
  thorctl lease give thor-07 --force    any holder's; asks first
""",
)
@click.argument("devices", nargs=-1, required=True)
@click.option(
    "--force",
    is_flag=True,
    help="Also remove the lease of another operator or of a rollout, without notice to them.",
)
@consent.yes_option
@pass_context
def give(context: Context, devices: tuple[str, ...], force: bool, yes: bool) -> Result:
    """Give back the leases that you took by hand."""
    if force:
        _agreed(context, devices, yes=yes)
    return _lease(context, devices, "give", *(["--force"] if force else []))


def _agreed(context: Context, patterns: tuple[str, ...], *, yes: bool) -> None:
    """Ask before leases of others are removed, and show their holders."""
    if yes:
        return
    answers = run_verb(chosen_devices(context, patterns), "lease", ("show",))
    context.messages.print("\n".join(one_line(_held(answer)) for answer in answers), highlight=False)
    consent.agreed(context, "Remove these leases?", yes=yes)


def _held(answer: Answer) -> str:
    lease = _lease_of(answer)
    if lease is not None:
        until = moment(lease.get("expires_at"))
        return f"{answer.device}: leased by {owner_of(lease).words} until {until}"
    return f"{answer.device}: " + (f"{answer.error.message}" if answer.error else "no lease")


def _lease_of(answer: Answer) -> dict[str, Any] | None:
    """Return the device's lease, from its data or its error; None: there is none, or it is unknown."""
    error = (answer.object or {}).get("error")
    details = error.get("details") if isinstance(error, dict) else None
    known = (answer.data, details if isinstance(details, dict) else {})
    return next((lease for one in known if isinstance(lease := one.get("lease"), dict)), None)


def _lease(context: Context, patterns: tuple[str, ...], action: str, *words: str) -> Result:
    ask = run_verb if action == "show" else run_where_recognised
    answers = ask(chosen_devices(context, patterns), "lease", (action, *words), holder=me())
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Device", "Holder", "Since", "Until", "Reason"):
        table.add_column(title)
    shown = [one for one in answers if one.ok or _lease_of(one)]  # errors cover the others
    for answer in shown:
        table.add_row(*_row(answer))
    return Result(
        f"lease {action}",
        data={"devices": [{"name": one.device, "lease": _lease_of(one), "ok": one.ok} for one in answers]},
        errors=tuple(one.error for one in answers if one.error),
        exit_code=exit_code_for_answers(answers),
        view=fit(table) if shown else None,
    )


def _row(answer: Answer) -> tuple[str, ...]:
    lease = _lease_of(answer)
    if lease is None:
        return (answer.device, "nobody", NOTHING, NOTHING, "")
    holder, reason = owner_of(lease).words, lease_reason(lease) or NOTHING
    since, until = (moment(lease.get(key)) for key in ("taken_at", "expires_at"))
    return (answer.device, holder, since, until, reason)
