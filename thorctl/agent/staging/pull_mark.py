"""Which pulls a power cut has ended.

Docker notes a layer before its files are on the disk, and never looks at it again: after a power cut files
are empty, and a second pull takes the layer for whole (moby 49784). So a pull is noted before it begins, with
the boot it began in, and struck out once the disk has all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def cut_short(ctx: Context, image: str) -> bool:
    """True if a pull of ``image`` began in an earlier boot and was never seen to be on the disk."""
    return _marks(ctx).get(image, this_boot(ctx)) != this_boot(ctx)


def begin(ctx: Context, image: str) -> None:
    """A pull begins; one that was cut short before stays noted as such."""
    ctx.files.write_json(ctx.paths.pulling, {image: this_boot(ctx), **_marks(ctx)})


def end(ctx: Context, image: str) -> None:
    """All of it is on the disk."""
    left = {one: boot for one, boot in _marks(ctx).items() if one != image}
    if left:
        ctx.files.write_json(ctx.paths.pulling, left)
    else:
        ctx.files.remove(ctx.paths.pulling)


def _marks(ctx: Context) -> dict[str, object]:
    try:
        marks = read_json(ctx.paths.pulling)
    except ValueError:  # by a foreign hand: our own writes are whole
        return {}
    return marks if isinstance(marks, dict) else {}
