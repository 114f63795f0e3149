"""Record of pulls that a power failure has interrupted.

Docker registers a layer before its files are on the disk and never verifies it: after a power failure files
are empty, and a second pull reuses the layer (moby 49784). A pull is therefore recorded before it begins,
with its boot ID, and removed once the disk has all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def cut_short(ctx: Context, image: str) -> bool:
    """Return whether a pull of ``image`` began in an earlier boot and was not completed."""
    return _marks(ctx).get(image, this_boot(ctx)) != this_boot(ctx)


def begin(ctx: Context, image: str) -> None:
    """Record the begin of a pull; an interrupted one stays recorded as such."""
    ctx.files.write_json(ctx.paths.pulling, {image: this_boot(ctx), **_marks(ctx)})


def end(ctx: Context, image: str) -> None:
    """Record that the pulled image is on the disk."""
    left = {one: boot for one, boot in _marks(ctx).items() if one != image}
    if left:
        ctx.files.write_json(ctx.paths.pulling, left)
    else:
        ctx.files.remove(ctx.paths.pulling)


def _marks(ctx: Context) -> dict[str, object]:
    try:
        marks = read_json(ctx.paths.pulling)
    except ValueError:  # written by another program: the agent's own writes are atomic
        return {}
    return marks if isinstance(marks, dict) else {}
