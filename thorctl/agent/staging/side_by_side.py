"""Run two parts of a stage concurrently: one joint progress; the first failure ends the other part."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.core.progress import Progress
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.progress import Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.core.context import Context

LEAVE_SECONDS = 20.0  # for a part to end after the other failed; a pull waits for Docker's next message


class OtherFailedError(Exception):
    """The other part failed, so this one ends at its next report."""


@dataclass(frozen=True)
class _Report:
    """A part's last report: the arguments of ``Progress.update``."""

    phase: str
    release: str | None
    share: Share
    message: str


class _Board:
    """The last reports of all running parts, combined."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.lock = progress, threading.Lock()
        self.reports: dict[str, _Report] = {}
        self.failed = threading.Event()

    def report(self, part: str, report: _Report) -> None:
        """Report both parts: phases joined, bytes summed and listed. A single part is reported as is."""
        if self.failed.is_set():
            raise OtherFailedError
        with self.lock:
            self.reports[part] = report
            if len(self.reports) == 1:
                done, total = report.share.done_bytes, report.share.total_bytes
                self.progress.update(
                    report.phase,
                    release=report.release,
                    done_bytes=done,
                    total_bytes=total,
                    message=report.message,
                )
                return
            ordered = sorted(self.reports.values(), key=lambda one: one.phase, reverse=True)
            parts = {one.phase: one.share for one in ordered}
            self.progress.update(
                ", ".join(parts),
                release=report.release,
                done_bytes=sum(one.done_bytes or 0 for one in parts.values()),
                total_bytes=sum(one.total_bytes or 0 for one in parts.values()),
                parts=parts,
            )

    def ended(self, part: str) -> None:
        """Remove a part that has ended."""
        with self.lock:
            self.reports.pop(part, None)


class _Part(Progress):
    """The progress reporter of one part."""

    def __init__(self, board: _Board, name: str) -> None:
        self._board, self._name = board, name

    def update(
        self,
        phase: str,
        *,
        release: str | None = None,
        done_bytes: int | None = None,
        total_bytes: int | None = None,
        message: str = "",
        parts: dict[str, Share] | None = None,  # noqa: ARG002 - a part has no parts
    ) -> None:
        """Report to the board.

        Raises:
            OtherFailedError: the other part has failed.
        """
        self._board.report(self._name, _Report(phase, release, Share(done_bytes, total_bytes), message))

    def close(self) -> None:
        """Do nothing: the joint progress is closed, not a part's."""


def run(ctx: Context, beside: Callable[[Context], int], here: Callable[[Context], int]) -> tuple[int, int]:
    """Run ``beside`` in a thread and ``here`` in this one; return both results.

    Raises:
        Exception: the first that either raised, once both have ended (or ``LEAVE_SECONDS`` later).
        Interrupted: this process was terminated; the thread ends with it.
    """
    board = _Board(ctx.progress)
    results: dict[str, int] = {}
    failures: list[Exception] = []

    def work(name: str, function: Callable[[Context], int]) -> None:
        try:
            results[name] = function(replace(ctx, progress=_Part(board, name)))
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
