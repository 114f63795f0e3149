"""The device's own log: one datagram to /dev/log, which journald or rsyslog reads. A courtesy, never a duty.

Unlike events.jsonl it may be kept elsewhere: who changed a device is then known though its disk is lost.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAG = "thor-agent"
_DAEMON = 3 << 3  # the facility of RFC 3164
NOTICE, WARNING = 5, 4  # its severities: a verb, and one that was refused or failed
LONGEST_BYTES = 8192  # rsyslog cuts there; a longer reason is in events.jsonl


def send(path: Path, message: str, severity: int = NOTICE) -> None:
    """Hand ``message`` to whoever reads ``path``; at once, never failing: no log is no reason to."""
    line = f"<{_DAEMON | severity}>{TAG}[{os.getpid()}]: {message}".encode(errors="replace")
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.setblocking(False)  # a reader that sleeps must not hold up a rollback
        log.connect(os.fspath(path))
        log.send(line[:LONGEST_BYTES])
