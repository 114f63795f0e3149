"""The network of the engine's container: none, or one of its own where an image cannot work without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

NONE = "none"
OWN = "bridge"  # Docker's: a namespace of its own behind the host's, never the host's
SETTING = "thor_engine_network"  # of the inventory


def wanted(ctx: Context) -> str:
    """Return Docker's name of the network that device.json asks for (role thor_host)."""
    try:
        device: Any = read_json(ctx.paths.device_json)
    except (ValueError, OSError):
        return NONE
    return OWN if isinstance(device, dict) and device.get("engine_network") == "own" else NONE
