"""The device's access token for the hub. It is sent to the hub only."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thorctl.agent.facts import device
from thorctl.protocol.paths import HUB_TOKEN

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def may_see(endpoint: str) -> bool:
    """Return whether the token may go to ``endpoint``: only over an encrypted or local connection."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or (parts.hostname or "") in LOOPBACK


def for_hub(ctx: Context, endpoint: str) -> str | None:
    """Return the token for requests to ``endpoint``; None if there is none or it may not go there."""
    token = (device.text(ctx, HUB_TOKEN) or "").strip()
    return token if token and may_see(endpoint) else None
