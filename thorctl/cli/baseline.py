"""``thorctl baseline``: the measurements that benchmarks are compared with."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from thorctl.bench.measurement import read
from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.errors import ThorError
from thorctl.result import Result
from thorctl.store import baselines
from thorctl.store.connection import opened
from thorctl.store.place import store_file
from thorctl.ui.format import NOTHING, age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from thorctl.store.baselines import Baseline


@click.group(cls=CommandGroup)
def command() -> None:
    """Show or forget baselines, with which benchmarks are compared: one per device and release.

    \b
    thorctl bench thor-01 --set-baseline     measure the device and store the result
    thorctl baseline show thor-01            show what is stored
    thorctl baseline forget thor-01          make the next benchmark its baseline

    They are stored on this machine, in the user's store.
    """


@command.command(
    epilog="""\b
Examples:
  thorctl baseline show thor-01
""",
)
@click.argument("devices", nargs=-1)
@pass_context
def show(context: Context, devices: tuple[str, ...]) -> Result:
    """Show the baselines of devices, the newest first."""
    names = [device.name for device in chosen_devices(context, devices)]
    with opened() as db:
        found = [one for name in names for one in baselines.of_device(db, name)]
    return Result(
        "baseline",
        data={"baselines": [asdict(one) for one in found]},
        view=fit(_view(found)) if found else f"No baseline of {', '.join(names)} in {store_file()}.",
    )


@command.command(
    epilog="""\b
Examples:
  thorctl baseline forget thor-01 --dry-run
  thorctl baseline forget lab --release tiny-qwable-0123456789ab
""",
)
@click.argument("devices", nargs=-1, required=True)
@click.option("--release", metavar="ID", help="Release whose baseline is forgotten. [default: all]")
@click.option("--dry-run", is_flag=True, help="Show what would be forgotten; change nothing.")
@pass_context
def forget(context: Context, devices: tuple[str, ...], *, release: str | None, dry_run: bool) -> Result:
    """Forget the baselines of devices.

    The next benchmark of each device becomes its new baseline.
    """
    names = [device.name for device in chosen_devices(context, devices)]
    with opened() as db:
        found = [one for name in names for one in baselines.of_device(db, name)]
        gone = [one for one in found if release in {None, one.release}]
        if not gone:
            raise ThorError(
                "baseline_unknown",
                f"There is no such baseline of {', '.join(names)}.",
                f"Name one of: {', '.join(f'{one.device} {one.release}' for one in found) or 'none'}.",
            )
        if not dry_run:
            for one in gone:
                baselines.forget(db, one.device, one.release)
    words = "Would be forgotten" if dry_run else "Forgotten"
    return Result(
        "baseline",
        data={"dry_run": dry_run, "forgotten": [asdict(one) for one in gone]},
        view="\n".join(f"{words}: {one.device} {one.release}, of {one.set_at}." for one in gone),
    )


def _view(found: Sequence[Baseline]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Device", "Release", "Set", "By", "Power"):
        table.add_column(title)
    for title in ("Single", "Identical", "Different"):
        table.add_column(title, justify="right")
    now = datetime.now(UTC)
    for one in found:
        words = (one.device, one.release, age(one.set_at, now), one.set_by, *_figures(one))
        table.add_row(*(Text(word) for word in words))
    table.caption = "Single, Identical, Different: decode, tok/s."
    table.caption_justify = "left"
    return table


def _figures(one: Baseline) -> tuple[Any, ...]:
    try:
        found = read(one.measurement, one.device)
    except ThorError:
        return ("unreadable", NOTHING, NOTHING, NOTHING)
    speeds = (found.measured.single, found.measured.identical, found.measured.different)
    power = found.before.power_mode or NOTHING
    return (power, *(f"{speed.decode_tokens_per_second:.1f}" for speed in speeds))
