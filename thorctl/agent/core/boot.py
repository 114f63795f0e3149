"""The identifier of the present boot: a random word in /run, which a restart clears.

The kernel's boot_id does not serve: a container device shares it with its host.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def this_boot(ctx: Context) -> str:
    """Return the identifier; create it at the first call after a restart (callers hold the state lock)."""
    path = ctx.paths.run_dir / "boot"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        word = uuid.uuid4().hex
        ctx.files.write(path, f"{word}\n".encode())
        return word
