"""Going from one release to another, and back. The order of journal and action stands here and in activate.

Forward: timer, journal ``activating``, act, wait, timer, journal ``trial``. Back: journal ``rolling-back``,
act, journal ``committed`` or ``empty``. Each step can be repeated; a crash between any two leaves a journal
from which ``recover`` goes back to ``current``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent import deadline, engine_unit, journal_file, ready, release_store
from thorctl.agent.journal import (
    ACTIVATING,
    COMMITTED,
    ROLLING_BACK,
    TRIAL,
    begin_rollback,
    finish_rollback,
)
from thorctl.agent.outcome import AgentError

if TYPE_CHECKING:
    from thorctl.agent.context import Context
    from thorctl.agent.journal import Journal
    from thorctl.agent.release_document import Release

FINISH_SECONDS = 900  # longer than stopping one engine and asking for the start of another ever takes


def run_release(ctx: Context, release: Release) -> None:
    """Let the engine run exactly this release; does not wait until it is ready."""
    engine_unit.stop(ctx)
    engine_unit.install(ctx, release)
    engine_unit.start(ctx)


def run_nothing(ctx: Context) -> None:
    """Let no engine run."""
    engine_unit.stop(ctx)
    engine_unit.remove(ctx)


def roll_back(ctx: Context, journal: Journal, reason: str) -> Journal:
    """Return to the release before, from ``activating``, ``trial``, ``committed`` or a half-done rollback.

    Needs no network and does not wait until the engine is ready. Returns the final journal.
    """
    if journal.state == COMMITTED and journal.previous:
        # A trial has its timer already; here one finishes the way back if this process dies on it.
        deadline.arm(ctx, ROLLING_BACK, journal.activation, journal.previous, FINISH_SECONDS)
    if journal.state != ROLLING_BACK:
        journal = begin_rollback(journal, ctx.clock.now_text(), reason)
        journal_file.save(ctx, journal)
    if journal.current:
        run_release(ctx, release_store.restore(ctx, journal.current))
    else:
        run_nothing(ctx)
    journal = finish_rollback(journal, ctx.clock.now_text())
    journal_file.save(ctx, journal)
    # Last: a timer that outlives its trial finds another state and does nothing.
    for state in (ACTIVATING, TRIAL, ROLLING_BACK):
        deadline.disarm(ctx, state, journal.activation)
    return journal


def wait_for_current(ctx: Context, journal: Journal) -> float | None:
    """Seconds until the release rolled back to is ready; None if there is none.

    Raises:
        AgentError: it does not get ready; the journal stands all the same.
    """
    if not journal.current:
        return None
    try:
        return ready.wait(ctx, release_store.load(ctx.paths, journal.current))
    except AgentError as failed:
        failed.data = {"release": journal.current, "state": journal.state, "from": journal.left}
        raise
