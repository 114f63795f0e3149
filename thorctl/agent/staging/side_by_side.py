"""Two parts of a stage at the same time: one progress for both, and the first failure ends the other."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.core.context import Context

LEAVE_SECONDS = 20.0  # for a part to notice that the other failed; a pull waits for Docker's next message


class OtherFailedError(Exception):
    """The other part failed, so that this one ends at its next report."""


class _Board:
    """The last report of each part that is at work, told as one."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.lock = progress, threading.Lock()
        self.reports: dict[str, tuple[str, dict[str, Any]]] = {}
        self.failed = threading.Event()

    def report(self, part: str, phase: str, report: dict[str, Any]) -> None:
        """Tell both parts: phases joined, bytes added up and apart. One alone is told as it is."""
        if self.failed.is_set():
            raise OtherFailedError
        with self.lock:
            self.reports[part] = phase, report
            if len(self.reports) == 1:
                self.progress.update(phase, **report)
                return
            parts = {
                name: _bytes(one)
                for name, one in sorted(self.reports.values(), key=lambda one: one[0], reverse=True)
            }
            self.progress.update(
                ", ".join(parts),
                release=report.get("release"),
                done_bytes=sum(one["done_bytes"] or 0 for one in parts.values()),
                total_bytes=sum(one["total_bytes"] or 0 for one in parts.values()),
                parts=parts,
            )

    def ended(self, part: str) -> None:
        """A part has ended: the other is told alone."""
        with self.lock:
            self.reports.pop(part, None)


def _bytes(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report.get(key) for key in ("done_bytes", "total_bytes")}


class _Part(Progress):
    """The progress of one part."""

    def __init__(self, board: _Board, name: str) -> None:
        self._board, self._name = board, name

    def update(self, phase: str, **report: Any) -> None:
        """Report to the board.

        Raises:
            OtherFailedError: this part is to end.
        """
        self._board.report(self._name, phase, report)

    def close(self) -> None:
        """The whole is closed, not a part."""


def run(ctx: Context, beside: Callable[[Context], int], here: Callable[[Context], int]) -> tuple[int, int]:
    """Run ``beside`` in a thread and ``here`` in this one; returns both results.

    Raises:
        Exception: the first that either raised, once both have ended (or ``LEAVE_SECONDS`` later).
        Interrupted: this process was told to end; the thread is left to end with it.
    """
    board = _Board(ctx.progress)
    results: dict[str, int] = {}
    failures: list[Exception] = []

    def work(name: str, function: Callable[[Context], int]) -> None:
        try:
            results[name] = function(dataclasses.replace(ctx, progress=_Part(board, name)))
        except OtherFailedError:
            return
        except Exception as failed:  # noqa: BLE001 - raised again by the caller
            failures.append(failed)
            board.failed.set()
        finally:
            board.ended(name)

    thread = threading.Thread(target=work, args=("beside", beside), daemon=True)
    thread.start()
    try:
        work("here", here)
    except BaseException:
        board.failed.set()
        thread.join(LEAVE_SECONDS)
        raise
    thread.join(LEAVE_SECONDS if failures else None)
    if failures:
        raise failures[0]
    return results["beside"], results["here"]
