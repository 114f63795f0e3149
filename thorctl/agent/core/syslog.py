"""The system log: one datagram to /dev/log, which journald or rsyslog reads. Best effort.

Unlike events.jsonl it may be stored on another machine, and so outlive the device's disk.
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
NOTICE, WARNING = 5, 4  # its severities: a verb, and a refused or failed one
LONGEST_BYTES = 8192  # rsyslog truncates there; events.jsonl has the whole reason


def send(path: Path, message: str, severity: int = NOTICE) -> None:
    """Send ``message`` to the reader of ``path`` without waiting; ignore failures."""
    line = f"<{_DAEMON | severity}>{TAG}[{os.getpid()}]: {message}".encode(errors="replace")
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.setblocking(False)  # a hanging reader must not delay a rollback
        log.connect(os.fspath(path))
        log.send(line[:LONGEST_BYTES])
