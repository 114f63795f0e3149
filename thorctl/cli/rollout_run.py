"""Working on a rollout from the command line: the engine, and what is shown while it works."""

from __future__ import annotations

import json
import signal
import sys
import threading
import uuid
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live

from thorctl import fleet
from thorctl.cli.devices import inventory_path
from thorctl.cli.output import fit
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.fleet_pattern import shortened
from thorctl.result import Exit, Result
from thorctl.rollout import words
from thorctl.rollout.at_work import at_work, folder_of, only_one, starting
from thorctl.rollout.engine import Engine
from thorctl.rollout.hands import DeviceHands
from thorctl.rollout.record import SteadyClock, StoreRecord
from thorctl.rollout.state import begin, fold, text
from thorctl.rollout.view import RolloutView
from thorctl.store import rollouts
from thorctl.store.rollouts import Line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from thorctl.cli.context import Context
    from thorctl.fleet import Device
    from thorctl.rollout.state import State
    from thorctl.store.rollouts import Rollout

REFRESHES_PER_SECOND = 2
LEAVE_SECONDS = 15.0  # to give leases back before we are gone
_ENDS = (signal.SIGTERM, signal.SIGHUP)
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
            "There has been no rollout yet.",
            "Begin one: thorctl rollout start PROFILE.",
            exit_code=2,
        )
    found = rollouts.get(db, rollout)
    if found is None:
        last = ", ".join(one.id for one in rollouts.newest(db, 5)) or "none"
        raise ThorError(
            "rollout_unknown", f"There is no rollout {rollout!r}.", f"The last ones: {last}.", exit_code=2
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
                f"Rollout {other.id} ({other.label}) is at work on {shortened(common)}.",
                f"Wait for its end, or stop it: thorctl rollout abort {other.id}.",
                exit_code=Exit.LEASED,
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
                f"Rollout {other.id} ({other.label}) began later, over {shortened(common)} as well.",
                f"Begin a new one for what is left: thorctl rollout start {rollout.label} DEVICES.",
                exit_code=Exit.USAGE,
            )


def devices_of(context: Context, rollout: Rollout) -> list[Device]:
    """The devices of a rollout, as the inventory knows them now; without those that it no longer has."""
    names = names_of(rollout)
    config = context.project / "playbooks" / "ansible.cfg"
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


def work(
    context: Context, db: sqlite3.Connection, rollout: Rollout, command: str, *, wait_for_people: bool
) -> Result:
    """Works on the rollout until it ends, is paused, or waits for a person who is not to be waited for.

    The caller is the only one at it (``alone``).
    """
    run = uuid.uuid4().hex[:8]
    hands = DeviceHands(
        devices_of(context, rollout),
        rollout.began_by,
        rollout.releases,
        begin(rollout).brief.activate_seconds,
        playbooks=playbooks_of(context),
        inventory=inventory_path(context),
        folder=folder_of(rollout.id),
        run=run,
    )
    with ended_gently(), hands, shown(context, rollout, hands.progress) as tell:
        engine = Engine(
            rollout, StoreRecord(db, rollout.id), hands, SteadyClock(), who=me(), run=run, tell=tell
        )
        try:
            state = engine.run(wait_for_people=wait_for_people)
        except KeyboardInterrupt:
            with suppress(KeyboardInterrupt):  # a second one: at once
                engine.leave(f"left by {me()}", LEAVE_SECONDS)
            raise _interrupted(rollout.id) from None
    return result(rollout, state, at_work=False, command=command)


@contextmanager
def ended_gently() -> Iterator[None]:
    """A lost terminal and a service manager's stop end us as Ctrl-C does; what nohup ignores is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [name for name in _ENDS if signal.getsignal(name) is not signal.SIG_IGN]
    before = {name: signal.signal(name, signal.default_int_handler) for name in heard}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _interrupted(rollout: str) -> ThorError:
    return ThorError(
        "rollout_interrupted",
        f"Rollout {rollout} is left where it is. Devices on trial return by themselves at their deadline.",
        f"Go on: thorctl rollout resume {rollout}. Stop it for good: thorctl rollout abort {rollout}.",
        exit_code=130,
    )


def playbooks_of(context: Context) -> Path:
    """The project's playbooks, else those of this checkout: a project may be no more than a deploy folder."""
    own = context.project / "playbooks"
    return own if (own / "stage.yml").is_file() else Path(__file__).resolve().parents[2] / "playbooks"


def result(rollout: Rollout, state: State, *, at_work: bool, command: str, looking: bool = False) -> Result:
    """What a command about one rollout returns; ``looking`` is a success whatever it sees."""
    return Result(
        command,
        data=words.as_json(rollout, state, at_work=at_work),
        errors=() if looking else words.problems(state),
        exit_code=0 if looking else words.exit_code(state),
        view=fit(RolloutView(rollout, state, at_work, now=SteadyClock().wall())),
        line=not looking,
    )


def standing(db: sqlite3.Connection, rollout: Rollout, command: str = "rollout status") -> Result:
    """Where it stands right now."""
    return result(rollout, state_of(db, rollout), at_work=at_work(rollout.id), command=command, looking=True)


@contextmanager
def shown(
    context: Context, rollout: Rollout, progress: Mapping[str, Mapping[str, Any]]
) -> Iterator[Callable[[State, Sequence[Line]], None]]:
    """Shows a rollout at work: live on a terminal, JSON lines for programs, else a line for what happens."""
    if not context.json and sys.stdout.isatty() and not context.quiet:
        latest = [begin(rollout)]
        with Live(
            console=Console(),
            get_renderable=lambda: RolloutView(rollout, latest[0], True, progress, SteadyClock().wall()),
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        ) as live:

            def tell(state: State, lines: Sequence[Line]) -> None:
                latest[0] = state
                for line in filter(None, map(words.tell, lines)):
                    live.console.print(line, markup=False, highlight=False)

            yield tell
        return

    def write(_: State, lines: Sequence[Line]) -> None:
        for line in lines:
            if context.json:
                click.echo(json.dumps(words.line_json(line), ensure_ascii=False))
            elif told := words.tell(line):
                context.messages.print(told, markup=False, highlight=False, soft_wrap=True)

    yield write
