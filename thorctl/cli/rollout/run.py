"""Working on a rollout from the command line, until it ends or is told to leave."""

from __future__ import annotations

import signal
import threading
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from thorctl.cli.rollout.find import devices_of
from thorctl.cli.rollout.show import result, shown
from thorctl.cli.smoke import me
from thorctl.errors import ThorError
from thorctl.rollout.journal.record import SteadyClock, StoreRecord
from thorctl.rollout.model.state import begin, owner
from thorctl.rollout.run.controller import Engine
from thorctl.rollout.run.executor import DeviceExecutor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from thorctl.cli.context import Context
    from thorctl.result import Result
    from thorctl.store.rollouts import Rollout

LEAVE_SECONDS = 15.0  # to give leases back before we are gone
_ENDS = (signal.SIGTERM, signal.SIGHUP)


def work(
    context: Context, db: sqlite3.Connection, rollout: Rollout, command: str, *, wait_for_people: bool
) -> Result:
    """Works on the rollout until it ends, is paused, or waits for a person who is not to be waited for.

    The caller is the only one at it (``alone``).
    """
    run = uuid.uuid4().hex[:8]
    brief = begin(rollout).brief
    executor = DeviceExecutor(
        devices_of(context, rollout),
        str(owner(rollout)),
        rollout.releases,
        brief.activate_seconds,
        silence_seconds=brief.policy.wait.silence_seconds,
    )
    with ended_gently(), executor, shown(context, rollout, executor.progress) as tell:
        record = StoreRecord(db, rollout.id)
        clock = SteadyClock(record.after(0))
        engine = Engine(rollout, record, executor, clock, who=me(), run=run, tell=tell)
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
        f"Rollout {rollout} was interrupted. Devices on trial roll back at their deadline.",
        f"Continue it: `thorctl rollout resume {rollout}`. Or end it: `thorctl rollout abort {rollout}`.",
    )
