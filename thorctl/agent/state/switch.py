"""Which release the engine runs: unit, door and caches of one release in place of those of another.

Forward (verb ``activate``): timer, journal ``activating``, switch, wait, timer, journal ``trial``. Back
(``rollback``): journal ``rolling-back``, switch, journal ``committed`` or ``empty``. Each step can be
repeated; a crash between any two leaves a journal from which ``recover`` goes back to ``current``.
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
        if not at_any_price or refused.errno not in FULL or not drop_reserve(ctx):
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
