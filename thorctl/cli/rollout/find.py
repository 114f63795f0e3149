"""Find a rollout, record an operator's orders for it, and ensure that one process runs it."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thorctl.cli.devices import inventory_path
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.inventory.pattern import shortened
from thorctl.rollout.journal.record import SteadyClock
from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.state import begin, text
from thorctl.rollout.run.controller_lock import RETRY_SECONDS, at_work, only_one, starting
from thorctl.store import rollouts
from thorctl.store.rollouts import Line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from typing import Any

    from thorctl.cli.context import Context
    from thorctl.inventory.devices import Device
    from thorctl.rollout.model.state import State
    from thorctl.store.rollouts import Rollout


LEAVE_SECONDS = 30.0  # for a process that is ending: its connections close
RECENT = 50  # rollouts; no older one is still running


@dataclass(frozen=True, slots=True)
class Order:
    """An operator's order: ``paused``, ``aborted``, ``approved``, ``over_hold``."""

    kind: str
    message: str = ""
    wave: int | None = None
    device: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def state_of(db: sqlite3.Connection, rollout: Rollout) -> State:
    """Return the rollout's state, from its log."""
    return fold(begin(rollout), rollouts.log(db, rollout.id))


def find(db: sqlite3.Connection, rollout: str | None) -> Rollout:
    """Return the rollout of that id; without one the newest.

    Raises:
        ThorError: ``rollout_unknown``, which lists the last ones.
    """
    if rollout is None:
        newest = rollouts.newest(db)
        if newest:
            return newest[0]
        raise ThorError(
            "rollout_unknown",
            "There is no rollout yet.",
            "Start one: `thorctl rollout start PROFILE`.",
        )
    found = rollouts.get(db, rollout)
    if found is None:
        last = ", ".join(one.id for one in rollouts.newest(db, 5)) or "none"
        raise ThorError(
            "rollout_unknown",
            f"There is no rollout {rollout!r}.",
            f"Name one of the last: {last}.",
        )
    return found


def say(db: sqlite3.Connection, rollout: Rollout, order: Order) -> None:
    """Record an order; the process that runs the rollout executes it within seconds."""
    line = Line(
        rollout.id,
        text(SteadyClock().wall()),
        me(),
        "order",
        order.kind,
        device=order.device,
        wave=order.wave,
        message=order.message,
        data=order.data,
    )
    rollouts.append(db, [line])


def heard(db: sqlite3.Connection, rollout: Rollout) -> bool:
    """Return whether a process runs that will execute the recorded order. Waits for one that is ending."""
    if not at_work(rollout.id):
        return False
    if not state_of(db, rollout).left:
        return True
    until = time.monotonic() + LEAVE_SECONDS
    while at_work(rollout.id) and time.monotonic() < until:
        time.sleep(RETRY_SECONDS)
    return False


def names_of(rollout: Rollout) -> set[str]:
    """Return the devices of a rollout."""
    return {str(one["name"]) for one in rollout.plan["devices"]}


def check_alone(db: sqlite3.Connection, names: set[str], but: str | None = None) -> None:
    """Reject a rollout over devices of another running one (other than ``but``).

    Raises:
        ThorError: ``rollout_at_work``.
    """
    for other in rollouts.newest(db, RECENT):
        common = sorted(names & names_of(other))
        if common and other.id != but and at_work(other.id):
            raise ThorError(
                "rollout_at_work",
                f"Rollout {other.id} ({other.label}) is running on {shortened(common)}.",
                f"Wait for its end, or stop it: `thorctl rollout abort {other.id}`.",
            )


def check_unfinished(db: sqlite3.Connection, names: set[str]) -> None:
    """Reject a new rollout over devices that an interrupted one holds: it would wait without end.

    Raises:
        ThorError: ``rollout_unfinished``.
    """
    for other in rollouts.newest(db, RECENT):
        if not names & names_of(other):
            continue
        state = state_of(db, other)
        verbs = {name: f"{line.verb} in progress" for name, line in state.open.items()}
        held = [f"{one.name} ({verbs.get(one.name, one.phase)})" for one in state.held if one.name in names]
        if held and not state.ended:
            raise ThorError(
                "rollout_unfinished",
                f"Rollout {other.id} ({other.label}) was interrupted and holds {', '.join(held)}.",
                f"Continue it: `thorctl rollout resume {other.id}`. Or free its devices first: "
                f"`thorctl rollout abort {other.id}`.",
            )


def check_newest(db: sqlite3.Connection, rollout: Rollout) -> None:
    """Reject the continuation of a rollout that a later one has overtaken: it would restore old releases.

    Raises:
        ThorError: ``rollout_overtaken``.
    """
    for other in rollouts.later(db, rollout.id):
        common = sorted(names_of(rollout) & names_of(other))
        if common:
            raise ThorError(
                "rollout_overtaken",
                f"Rollout {other.id} ({other.label}) began later and includes {shortened(common)} as well.",
                _after(db, rollout, other),
            )


def _after(db: sqlite3.Connection, rollout: Rollout, later: Rollout) -> str:
    """Return the remedy for a rollout that a later one has overtaken."""
    if state_of(db, later).ended:
        begin_anew = f"Start one for the other devices: `thorctl rollout start {rollout.label} DEVICES`."
    else:
        begin_anew = f"Continue that one: `thorctl rollout resume {later.id}`."
    held = state_of(db, rollout).held
    return (
        f"{begin_anew} `thorctl rollout abort {rollout.id}` releases the devices of this one."
        if held
        else begin_anew
    )


def devices_of(context: Context, rollout: Rollout) -> list[Device]:
    """Return a rollout's devices as in the present inventory, without removed ones."""
    names = names_of(rollout)
    config = context.ansible_config
    found = [one for one in fleet.load(inventory_path(context), None, config) if one.name in names]
    gone = sorted(names - {one.name for one in found})
    if gone:
        context.messages.print(
            f"removed from the inventory, treated as offline: {', '.join(gone)}",
            markup=False,
            highlight=False,
        )
    return found


@contextmanager
def alone(db: sqlite3.Connection, rollout: Rollout) -> Iterator[None]:
    """Ensure that no other process here runs the rollout, or one over its devices, during the block.

    Raises:
        ThorError: ``rollout_at_work``.
    """
    with ExitStack() as stack:
        with starting():
            check_alone(db, names_of(rollout), but=rollout.id)
            stack.enter_context(only_one(rollout.id))
        yield
