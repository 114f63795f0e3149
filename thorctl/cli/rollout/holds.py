"""Passing over the holds of devices in a rollout: which ones, by whose word, on the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from thorctl.cli.rollout.find import Order, say
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.remote.agent_call import run_verb
from thorctl.rollout.model.outcomes import hold_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from thorctl.inventory.devices import Device
    from thorctl.store.rollouts import Rollout

OPTION = "--over-hold"


def over_hold(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option of ``start`` and ``resume``; the parameter is ``over``."""
    return click.option(
        OPTION,
        "over",
        multiple=True,
        metavar="DEVICE",
        help="Device to activate despite its present hold; kept in the history. Repeatable.",
    )(function)


def chosen(names: Sequence[str], holds: Mapping[str, str | None], what: str) -> dict[str, str]:
    """Device -> the hold to pass over. ``holds``: the rollout's devices, and what they hold for.

    Raises:
        ThorError: ``device_unknown``, ``not_held``: nobody passes over a hold that he has not read.
    """
    unknown = [name for name in names if name not in holds]
    if unknown:
        raise ThorError(
            "device_unknown",
            f"{OPTION} {unknown[0]}: {what} includes no device of that name.",
            f"Name one of: {', '.join(holds)}.",
        )
    found = {name: hold for name in names if (hold := holds[name]) is not None}
    if len(found) < len(set(names)):
        free = next(name for name in names if name not in found)
        raise ThorError(
            "not_held",
            f"{OPTION} {free}: the device has no hold, or does not answer.",
            f"Leave the option out; `thorctl hold show {free}` shows the hold.",
            device=free,
        )
    return found


def ask(devices: Sequence[Device]) -> dict[str, str | None]:
    """What each device holds for now; None where it does not hold or does not answer."""
    answers = run_verb(devices, "status")
    return {answer.device: hold_of(answer.get(Status) or UNKNOWN) for answer in answers}


def pass_over(db: sqlite3.Connection, rollout: Rollout, holds: Mapping[str, str]) -> None:
    """Puts on record who passes over which hold; whoever works on the rollout obeys."""
    for device, hold in holds.items():
        message = f"its hold is passed over by {me()}: {hold}"
        say(db, rollout, Order("over_hold", message, device=device, data={"hold": hold}))
