"""Which boot this is: a random word in /run, which is memory and empty after a restart.

Not the kernel's boot_id: a container device shares its kernel, hence its boot_id, with its host.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def this_boot(ctx: Context) -> str:
    """The word of this boot; made at the first call after a restart (callers hold the state lock)."""
    path = ctx.paths.run_dir / "boot"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        word = uuid.uuid4().hex
        ctx.files.write(path, f"{word}\n".encode())
        return word
