"""The identity of the machine and its installation, which distinguishes it from another of its name."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from thorctl.agent.facts import device
from thorctl.agent.parsers import devicetree

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

_SERIAL = "/sys/firmware/devicetree/base/serial-number"
_MACHINE_ID = re.compile(r"[0-9a-f]{32}\s*")


def machine(ctx: Context) -> str | None:
    """Return 16 hex characters that are constant for an installation of the operating system.

    Derived from /etc/machine-id, which itself must stay confidential (machine-id(5)).
    """
    text = device.text(ctx, "/etc/machine-id")
    if text is None or not _MACHINE_ID.fullmatch(text):
        return None
    return hmac.new(bytes.fromhex(text.strip()), b"thor-agent", hashlib.sha256).hexdigest()[:16]


def serial(ctx: Context) -> str | None:
    """Return the serial number of the module, from the device tree."""
    return devicetree.parse_string(device.content(ctx, _SERIAL)) or None
