"""The network of the engine's container: none, or a separate one for images that require it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

NONE = "none"
OWN = "bridge"  # Docker's network with a namespace of its own, not the host's
SETTING = "thor_engine_network"  # in the inventory


def configured(ctx: Context) -> str:
    """Return the Docker network that device.json (role thor_host) selects."""
    try:
        device: Any = read_json(ctx.paths.device_json)
    except (ValueError, OSError):
        return NONE
    return OWN if isinstance(device, dict) and device.get("engine_network") == "own" else NONE
