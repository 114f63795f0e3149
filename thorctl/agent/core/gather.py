"""Ask several slow sources at once, and go on without those that do not answer in time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping


def gather(
    sources: Mapping[str, Callable[[], Any]], *, seconds: float, log: logging.Logger
) -> dict[str, Any]:
    """Call every source in its own thread and return name → value.

    A source that raises, or is not back ``seconds`` after the start, gives None and a line in the log: one
    stuck tool must not take the other facts with it. Its thread is left behind and ends with the process.
    """
    values: dict[str, Any] = dict.fromkeys(sources)
    threads: dict[str, threading.Thread] = {}

    def call(name: str, source: Callable[[], Any]) -> None:
        try:
            values[name] = source()
        except Exception as error:  # noqa: BLE001 - any fault of a source means its fact is unknown
            log.warning("%s could not be read: %s", name, error)

    deadline = time.monotonic() + seconds
    for name, source in sources.items():
        threads[name] = threading.Thread(target=call, args=(name, source), daemon=True)
        threads[name].start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            log.warning("%s did not answer within %g s", name, seconds)
    # A copy: a source that comes back late must not change what was returned.
    return dict(values)
