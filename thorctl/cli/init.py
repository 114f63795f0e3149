"""``thorctl init``: create the operator's project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thorctl.onboarding import init
from thorctl.result import Result

if TYPE_CHECKING:
    from thorctl.onboarding.init import Plan


@click.command(
    epilog="""\b
Examples:
  thorctl init fleet                          a project in the new folder fleet
  thorctl init fleet --dry-run                the files that would be written
  thorctl init lab --extends tiny-qwable      for simulated devices
"""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--extends", metavar="PROFILE", default=init.EXTENDS, show_default=True, help="Shipped profile to extend."
)
@click.option("--dry-run", is_flag=True, help="List the files and write nothing.")
def command(folder: Path, extends: str, *, dry_run: bool) -> Result:
    """Create a project: inventory, profile, playbook, settings and a README.

    An existing project gets the files that it lacks; existing files are never changed. A folder with other
    files is refused.
    """
    plan = init.plan(folder, extends)
    if not dry_run:
        init.write(plan)
    return Result(
        "init",
        data={
            "project": str(folder.absolute()),
            "extends": extends,
            "dry_run": dry_run,
            "written": list(plan.write),
            "kept": list(plan.kept),
            "next": list(init.NEXT),
        },
        view=_view(plan, dry_run=dry_run),
    )


def _view(plan: Plan, *, dry_run: bool) -> str:
    word = "to write" if dry_run else "written"
    lines = [f"{word:9} {path}" for path in plan.write] + [f"{'kept':9} {path}" for path in plan.kept]
    if not dry_run:
        steps = (f"cd {shlex.quote(str(plan.folder))}", *init.NEXT)
        lines += ["", f"Next: write your devices into {plan.folder / 'inventory' / 'hosts.yml'}, then"]
        lines += [f"  {step}" for step in steps]
    return "\n".join(lines)
