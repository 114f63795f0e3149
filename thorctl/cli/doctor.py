"""``thorctl doctor``: check this machine."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import inventory_path
from thorctl.cli.output import fit
from thorctl.doctor import certificates, inventory, machine, project
from thorctl.doctor import devices as device_checks
from thorctl.doctor.check import Check, Status
from thorctl.edge.pki import Pki
from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.release.desired import desired_releases, identified
from thorctl.result import Exit, Problem, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

READY = "This machine is ready, and every device answers."
NOT_ASKED = "No fault was found here. Devices were not checked: thorctl doctor --devices."
_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


@click.command(
    epilog="""\b
Examples:
  thorctl doctor               this machine, the project, the inventory
  thorctl doctor --devices     and whether each device answers
  thorctl doctor --json | jq '.data.checks[] | select(.status != "pass")'
"""
)
@click.option("--devices", is_flag=True, help="Also check whether every device answers.")
@pass_context
def command(context: Context, *, devices: bool) -> Result:
    """Check this machine: tools, keys, inventory, engine. Changes nothing.

    Exit code 1 if a check fails. A warning is about what only some verbs need.
    """
    with context.messages.status("Looking …"):
        checks = machine.checks() + project.checks(context.deploy) + _inventory(context, ask=devices)
    return Result(
        "doctor",
        data={
            "checks": [asdict(check) for check in checks],
            "counts": {status: _count(checks, status) for status in _STYLES},
        },
        errors=tuple(
            Problem("doctor_failed", f"{c.name}: {c.found}", c.remedy) for c in checks if c.status == "fail"
        )
        if context.json
        else (),  # the table has it
        exit_code=Exit.ERROR if _count(checks, "fail") else Exit.SUCCESS,
        view=fit(_view(checks)),
    )


def _inventory(context: Context, *, ask: bool) -> list[Check]:
    try:
        source = inventory_path(context)
        found = fleet.load(source, None, context.ansible_config)
    except ThorError as error:
        status: Status = "warn" if error.code == "inventory_missing" and context.inventory is None else "fail"
        return [Check("inventory", "inventory", status, error.message, error.remedy)]
    try:
        doors = certificates.checks(Pki.beside(source), found, dt.datetime.now(dt.UTC))
    except ThorError as error:
        doors = [Check("inventory", certificates.NAME, "fail", error.message, error.remedy)]
    checks = inventory.checks(source, found, context.deploy) + doors
    if ask:
        checks += device_checks.checks(found, identified(desired_releases(context.deploy, found)))
    return checks


def _count(checks: Sequence[Check], status: str) -> int:
    return sum(check.status == status for check in checks)


def _view(checks: Sequence[Check]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(ratio=1)
    area = ""
    for check in checks:
        if check.area != area:
            area = check.area
            table.add_row("", Text(area, style="bold"), "")
        table.add_row(Text(check.status, style=_STYLES[check.status]), Text(check.name), Text(check.found))
        if check.remedy:
            table.add_row("", "", Text(f"→ {check.remedy}", style="bold"))
    counts = ", ".join(f"{_count(checks, status)} {status}" for status in _STYLES)
    failed = _count(checks, "fail")
    asked = any(check.area == device_checks.AREA for check in checks)
    verdict = "At least one check failed." if failed else READY if asked else NOT_ASKED
    return Group(table, Text(), Text(f"{counts}. {verdict}", style="bold red" if failed else "bold green"))
