"""Which rollout is meant, what people say of it, and who may work on it."""

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


LEAVE_SECONDS = 30.0  # for a process that has nothing left to do: its playbooks and connections end
RECENT = 50  # rollouts; an older one that still works is nobody's any more


@dataclass(frozen=True, slots=True)
class Order:
    """What a person says of a rollout: ``paused``, ``aborted``, ``approved``, ``over_hold``."""

    kind: str
    message: str = ""
    wave: int | None = None
    device: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def state_of(db: sqlite3.Connection, rollout: Rollout) -> State:
    """Where it stands, as its log says."""
    return fold(begin(rollout), rollouts.log(db, rollout.id))


def find(db: sqlite3.Connection, rollout: str | None) -> Rollout:
    """The rollout of that id; without one the newest.

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
    """Records an order; the process that works on the rollout obeys it within seconds."""
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
    """Whether a process is at work that obeys what was just said. One that is leaving is waited for."""
    if not at_work(rollout.id):
        return False
    if not state_of(db, rollout).left:
        return True
    until = time.monotonic() + LEAVE_SECONDS
    while at_work(rollout.id) and time.monotonic() < until:
        time.sleep(RETRY_SECONDS)
    return False


def names_of(rollout: Rollout) -> set[str]:
    """The devices that a rollout changes."""
    return {str(one["name"]) for one in rollout.plan["devices"]}


def check_alone(db: sqlite3.Connection, names: set[str], but: str | None = None) -> None:
    """Refuses a rollout over devices that another one (than ``but``) is at work on.

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
    """Refuses to begin a rollout over devices that an interrupted one holds: it would wait for them in vain.

    Raises:
        ThorError: ``rollout_unfinished``.
    """
    for other in rollouts.newest(db, RECENT):
        if not names & names_of(other):
            continue
        state = state_of(db, other)
        verbs = {name: f"{line.verb} under way" for name, line in state.open.items()}
        held = [f"{one.name} ({verbs.get(one.name, one.phase)})" for one in state.held if one.name in names]
        if held and not state.ended:
            raise ThorError(
                "rollout_unfinished",
                f"Rollout {other.id} ({other.label}) was interrupted and holds {', '.join(held)}.",
                f"Continue it: `thorctl rollout resume {other.id}`. Or free its devices first: "
                f"`thorctl rollout abort {other.id}`.",
            )


def check_newest(db: sqlite3.Connection, rollout: Rollout) -> None:
    """Refuses to go on with a rollout that a later one has overtaken: it would bring old releases back.

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
    """What to do with a rollout that a later one has overtaken."""
    if state_of(db, later).ended:
        begin_anew = f"Begin a new one for what is left: `thorctl rollout start {rollout.label} DEVICES`."
    else:
        begin_anew = f"Go on with that one: `thorctl rollout resume {later.id}`."
    held = state_of(db, rollout).held
    return (
        f"{begin_anew} `thorctl rollout abort {rollout.id}` takes back what this one left."
        if held
        else begin_anew
    )


def devices_of(context: Context, rollout: Rollout) -> list[Device]:
    """The devices of a rollout, as the inventory knows them now; without those that it no longer has."""
    names = names_of(rollout)
    config = context.ansible_config
    found = [one for one in fleet.load(inventory_path(context), None, config) if one.name in names]
    gone = sorted(names - {one.name for one in found})
    if gone:
        context.messages.print(
            f"not in the inventory any more, taken for offline: {', '.join(gone)}",
            markup=False,
            highlight=False,
        )
    return found


@contextmanager
def alone(db: sqlite3.Connection, rollout: Rollout) -> Iterator[None]:
    """For the length of the block this process is the only one here at work on the rollout and its devices.

    Raises:
        ThorError: ``rollout_at_work``.
    """
    with ExitStack() as stack:
        with starting():
            check_alone(db, names_of(rollout), but=rollout.id)
            stack.enter_context(only_one(rollout.id))
        yield
