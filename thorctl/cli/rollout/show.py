"""Show a rollout: its state, and its events while it runs."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live

from thorctl.cli.output import fit
from thorctl.cli.rollout.find import state_of
from thorctl.result import Result
from thorctl.rollout.journal.record import SteadyClock
from thorctl.rollout.model.state import begin
from thorctl.rollout.run.controller_lock import at_work
from thorctl.rollout.views import events, summary
from thorctl.rollout.views.rollout import RolloutView
from thorctl.ui.console import Console, echo_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from thorctl.cli.context import Context
    from thorctl.rollout.model.state import State
    from thorctl.store.rollouts import Line, Rollout


REFRESHES_PER_SECOND = 2


def result(rollout: Rollout, state: State, *, at_work: bool, command: str, looking: bool = False) -> Result:
    """Return the Result of a command about one rollout; ``looking``: a success whatever the state."""
    return Result(
        command,
        data=summary.as_json(rollout, state, at_work=at_work),
        errors=() if looking else summary.problems(state),
        exit_code=0 if looking else summary.exit_code(state),
        view=fit(RolloutView(rollout, state, at_work, now=SteadyClock().wall())),
        line=not looking,
    )


def standing(db: sqlite3.Connection, rollout: Rollout, command: str = "rollout status") -> Result:
    """Return the present state."""
    return result(rollout, state_of(db, rollout), at_work=at_work(rollout.id), command=command, looking=True)


@contextmanager
def shown(
    context: Context, rollout: Rollout, progress: Mapping[str, Mapping[str, Any]]
) -> Iterator[Callable[[State, Sequence[Line]], None]]:
    """Show a running rollout: live on a terminal, JSON lines for programs, else a line per event."""
    if not context.json and sys.stdout.isatty() and not context.quiet:
        latest = [begin(rollout)]
        with Live(
            console=Console(),
            get_renderable=lambda: RolloutView(
                rollout, latest[0], True, progress, SteadyClock().wall(), live=True
            ),
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        ) as live:

            def tell(state: State, lines: Sequence[Line]) -> None:
                latest[0] = state
                for line in filter(None, map(events.tell, lines)):
                    live.console.print(line, highlight=False)

            yield tell
        return

    def write(_: State, lines: Sequence[Line]) -> None:
        for line in lines:
            if context.json:
                echo_json(events.line_json(line))
            elif said := events.tell(line):
                context.messages.print(said, highlight=False, soft_wrap=True)

    yield write
