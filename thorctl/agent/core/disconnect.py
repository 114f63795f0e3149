"""Noticing that nobody waits for the answer any more: for a verb that is of no use but by its answer."""

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
def ends_us() -> Iterator[None]:
    """Meanwhile, if the reader of our standard output goes away, end as if told to (SIGTERM).

    A pipe or socket of which nobody holds the other end, or a terminal that was closed; a file never is.
    """
    descriptor = sys.stdout.fileno()
    over = threading.Event()

    def watch() -> None:
        answer = select.poll()
        answer.register(descriptor, 0)  # 0: only what need not be asked for
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
