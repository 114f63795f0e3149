"""Going from one release to another, and back. The order of journal and action stands here and in activate.

Forward: timer, journal ``activating``, act, wait, timer, journal ``trial``. Back: journal ``rolling-back``,
act, journal ``committed`` or ``empty``. Each step can be repeated; a crash between any two leaves a journal
from which ``recover`` goes back to ``current``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine import cache, door, ready
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import TCP_LAYOUT
from thorctl.agent.soak import unit
from thorctl.agent.state import deadline, disk_reserve, journal_file, rollback_check
from thorctl.agent.state.disk_errors import FULL
from thorctl.agent.state.journal import REVIEW, begin_rollback, finish_rollback
from thorctl.protocol.states import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal


def run_release(ctx: Context, release: Release, *, at_any_price: bool = False) -> None:
    """Let the engine run exactly this release; does not wait until it is ready.

    ``at_any_price``: where the disk is full, for what was kept back for the way back.
    """
    engine_unit.stop(ctx)
    _note_layout(ctx, release)
    if at_any_price:
        cache.make_room(ctx, release)
    try:
        engine_unit.install(ctx, release)
    except OSError as refused:
        if not at_any_price or refused.errno not in FULL or not disk_reserve.drop(ctx):
            raise
        engine_unit.install(ctx, release)
    door.follow(ctx, release)
    engine_unit.start(ctx)


def _note_layout(ctx: Context, release: Release) -> None:
    """An engine of layout 1 can write to the caches of all: they are emptied before the next of layout 2."""
    if release.layout == TCP_LAYOUT:
        cache.shared_again(ctx)


def run_again(ctx: Context, release: Release) -> None:
    """Start the engine of the release that is in its place already, anew."""
    engine_unit.install(ctx, release)
    door.follow(ctx, release)
    engine_unit.restart(ctx)


def run_nothing(ctx: Context) -> None:
    """Let no engine run."""
    engine_unit.stop(ctx)
    engine_unit.remove(ctx)
    door.follow(ctx, None)


def roll_back(ctx: Context, journal: Journal, reason: str, *, repair: bool = False) -> Journal:
    """Return to the release before, from ``activating``, ``trial``, ``committed`` or a half-done rollback.

    Needs no network and does not wait until the engine is ready. Returns the final journal. ``repair``: where
    somebody deleted its image, try to pull it first; what runs goes on meanwhile.
    """
    if repair:
        rollback_check.repair(ctx, journal)
    _guard(ctx, journal, deadline.GUARD_SECONDS)
    try:
        if journal.state != ROLLING_BACK:
            announced = begin_rollback(journal, ctx.clock.now_text(), reason)
            journal_file.save(ctx, announced)
            journal = announced
        unit.end(ctx, journal.activation)  # its streams would hold up the engine's stop
        if journal.current:
            release = release_store.restore(ctx, journal.current, journal.current_sha256)
            run_release(ctx, release, at_any_price=True)
        else:
            run_nothing(ctx)
        done = finish_rollback(journal, ctx.clock.now_text())
        journal_file.save(ctx, done)
    except (AgentError, OSError, Interrupted):
        if journal.state == ROLLING_BACK:
            _guard(ctx, journal, deadline.AGAIN_SECONDS)
        else:
            deadline.disarm(ctx, ROLLING_BACK, journal.activation)
        raise
    # Last: a timer that outlives its trial finds another state and does nothing.
    for state in (ACTIVATING, TRIAL, REVIEW, ROLLING_BACK):
        deadline.disarm(ctx, state, done.activation)
    return done


def _guard(ctx: Context, journal: Journal, seconds: int) -> None:
    """Have the device finish its way back by itself, if this process dies on it or cannot.

    Where the timer of a trial runs that will do so, too, only later: so a refusal is no reason to stay.
    """
    try:
        deadline.arm(ctx, ROLLING_BACK, journal.activation, journal.running or "nothing", seconds)
    except AgentError as refused:
        if journal.state == COMMITTED:
            raise
        ctx.log.warning("%s", refused)


def wait_for_current(ctx: Context, journal: Journal) -> float | None:
    """Seconds until the release rolled back to is ready; None if there is none.

    Raises:
        AgentError: it does not get ready; the journal stands all the same.
    """
    if not journal.current:
        return None
    return ready.wait(ctx, release_store.load(ctx.paths, journal.current, journal.current_sha256))
