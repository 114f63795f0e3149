"""The hub's token, where this device has one. It goes from its file to the hub and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thorctl.agent.facts import device
from thorctl.protocol.paths import HUB_TOKEN

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def may_see(endpoint: str) -> bool:
    """Whether the token may go to ``endpoint``: where nobody on the way can read it."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or (parts.hostname or "") in LOOPBACK


def for_hub(ctx: Context, endpoint: str) -> str | None:
    """The token for requests to ``endpoint``; None where there is none or it may not go there."""
    token = (device.text(ctx, HUB_TOKEN) or "").strip()
    return token if token and may_see(endpoint) else None
