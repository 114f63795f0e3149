"""Override the holds of devices in a rollout: by name, on record."""

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
    """Add the option of ``start`` and ``resume``; the parameter is ``over``."""
    return click.option(
        OPTION,
        "over",
        multiple=True,
        metavar="DEVICE",
        help="Device to activate despite its present hold; kept in the history. Repeatable.",
    )(function)


def chosen(names: Sequence[str], holds: Mapping[str, str | None], what: str) -> dict[str, str]:
    """Return device -> the hold to override. ``holds``: the rollout's devices, with their holds.

    Raises:
        ThorError: ``device_unknown``, ``not_held``: an operator must have read the hold.
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
            f"Leave the option out; `thorctl hold show {free}` shows its hold.",
            device=free,
        )
    return found


def ask(devices: Sequence[Device]) -> dict[str, str | None]:
    """Return each device's present hold; None if there is none, or no answer."""
    answers = run_verb(devices, "status")
    return {answer.device: hold_of(answer.get(Status) or UNKNOWN) for answer in answers}


def override(db: sqlite3.Connection, rollout: Rollout, holds: Mapping[str, str]) -> None:
    """Record which holds are overridden, and the operator, for the process that runs the rollout."""
    for device, hold in holds.items():
        message = f"its hold is overridden by {me()}: {hold}"
        say(db, rollout, Order("over_hold", message, device=device, data={"hold": hold}))
