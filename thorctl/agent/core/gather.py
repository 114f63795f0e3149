"""Query several slow sources concurrently, with a time limit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

T_co = TypeVar("T_co", covariant=True)


class Source(Generic[T_co]):
    """A slow source.

    Attributes:
        name: for the log.
        ask: called once, in a thread of its own.
        value: the result of ``ask``; None before ``gather``, and if it raised or was too slow.
    """

    def __init__(self, name: str, ask: Callable[[], T_co]) -> None:
        self.name = name
        self.ask = ask
        self.value: T_co | None = None


def gather(*sources: Source[object], seconds: float, log: logging.Logger) -> None:
    """Set ``value`` of every source.

    A source that raises, or takes longer than ``seconds``, keeps None and is logged: one hanging tool must
    not delay the other facts. Its thread ends with the process.
    """
    answers: dict[str, object] = {}

    def call(source: Source[object]) -> None:
        try:
            answers[source.name] = source.ask()
        except Exception as error:  # noqa: BLE001 - any failure makes the value unknown
            log.warning("%s could not be read: %s", source.name, error)

    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=call, args=(one,), daemon=True) for one in sources]
    for thread in threads:
        thread.start()
    for source, thread in zip(sources, threads, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            log.warning("%s did not answer within %g s", source.name, seconds)
    # A copy: a late source must not change the returned value.
    for source in sources:
        source.value = answers.get(source.name)
