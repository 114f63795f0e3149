"""Which installation this is: figures of one device are never compared with those of a namesake."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from thorctl.agent import device

if TYPE_CHECKING:
    from thorctl.agent.context import Context

_MACHINE_ID = re.compile(r"[0-9a-f]{32}\s*")


def machine(ctx: Context) -> str | None:
    """Return 16 hex characters that stay for as long as this operating system is installed.

    Made from /etc/machine-id, which itself must not leave the device (machine-id(5)).
    """
    text = device.text(ctx, "/etc/machine-id")
    if text is None or not _MACHINE_ID.fullmatch(text):
        return None
    return hmac.new(bytes.fromhex(text.strip()), b"thor-agent", hashlib.sha256).hexdigest()[:16]
