"""Switch the engine to a release: install its unit, door and caches in place of the running one's.

Activation: timer, journal ``activating``, switch, wait, timer, journal ``trial``. Rollback: journal
``rolling-back``, switch, journal ``committed`` or ``empty``. Each step can be repeated; after a crash between
any two, ``recover`` restores ``current`` from the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.engine import cache, door
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release.document import TCP_LAYOUT
from thorctl.agent.state.disk_full import FULL, drop_reserve

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release


def run_release(ctx: Context, release: Release, *, use_reserve: bool = False) -> None:
    """Run exactly this release on the engine; do not wait until it is ready.

    ``use_reserve``: if the disk is full, release the space reserved for a rollback.
    """
    engine_unit.stop(ctx)
    _record_layout(ctx, release)
    if use_reserve:
        cache.make_room(ctx, release)
    try:
        engine_unit.install(ctx, release)
    except OSError as refused:
        if not use_reserve or refused.errno not in FULL or not drop_reserve(ctx):
            raise
        engine_unit.install(ctx, release)
    door.follow(ctx, release)
    engine_unit.start(ctx)


def _record_layout(ctx: Context, release: Release) -> None:
    """Record that a layout 1 engine runs: it can write to all caches, so they are emptied afterwards."""
    if release.layout == TCP_LAYOUT:
        cache.mark_shared(ctx)


def restart_release(ctx: Context, release: Release) -> None:
    """Restart the engine of the release that is already installed."""
    engine_unit.install(ctx, release)
    door.follow(ctx, release)
    engine_unit.restart(ctx)


def run_nothing(ctx: Context) -> None:
    """Stop the engine and remove its unit."""
    engine_unit.stop(ctx)
    engine_unit.remove(ctx)
    door.follow(ctx, None)
