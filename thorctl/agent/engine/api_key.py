"""The API key of the engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.agent.facts import device
from thorctl.protocol.paths import SECRETS

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

_LINE = re.compile(r"^VLLM_API_KEY=(.+)$", re.MULTILINE)


def api_key(ctx: Context) -> str | None:
    """Return VLLM_API_KEY of /etc/thor/secrets.env; None if the file or the line is missing."""
    found = _LINE.search(device.text(ctx, SECRETS) or "")
    return found.group(1).strip().strip("\"'") if found else None
