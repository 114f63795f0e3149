"""Terminate read-only verbs when the client disconnects."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_MILLISECONDS = 1000
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


@contextmanager
def terminate_on_disconnect() -> Iterator[None]:
    """Send SIGTERM to this process if the reader of its standard output disconnects meanwhile.

    This is a pipe or socket without a process at its other end, or a closed terminal; never a file.
    """
    descriptor = sys.stdout.fileno()
    over = threading.Event()

    def watch() -> None:
        answer = select.poll()
        answer.register(descriptor, 0)  # 0: only events that are always reported
        while not over.is_set():
            if any(event & _GONE for _, event in answer.poll(POLL_MILLISECONDS)):
                if not over.is_set():
                    os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
