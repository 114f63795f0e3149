"""/run/thor/progress.json: the progress of the verb that runs. Never synced: its loss is harmless."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.clock import as_text
from thorctl.protocol import progress as protocol
from thorctl.protocol.encode import encode

if TYPE_CHECKING:
    from thorctl.agent.core.clock import Clock
    from thorctl.agent.core.paths import Paths

WRITE_EVERY_SECONDS = 0.5  # status --watch polls about once a second


class Progress:
    """Write progress.json when phase or message change, else twice a second; ``close`` removes it."""

    def __init__(self, paths: Paths, clock: Clock, verb: str) -> None:
        self._path = paths.progress_json
        self._clock = clock
        self._verb = verb
        self._started = as_text(clock.now())
        self._phase: str | None = None
        self._message = ""
        self._phase_began = clock.monotonic()
        self._phase_first_bytes = 0
        self._written_at: float | None = None

    def update(
        self,
        phase: str,
        *,
        release: str | None = None,
        done_bytes: int | None = None,
        total_bytes: int | None = None,
        message: str = "",
        parts: dict[str, protocol.Share] | None = None,
    ) -> None:
        """Report the verb's progress.

        Args:
            phase: image, checkpoint, verify, start or smoke.
            release: id of the release.
            done_bytes: bytes of this phase so far; None if not applicable.
            total_bytes: bytes of this phase in total; None if unknown.
            message: one short line for people.
            parts: bytes of each concurrent phase.
        """
        now = self._clock.monotonic()
        if phase != self._phase:
            self._phase, self._phase_began, self._phase_first_bytes = phase, now, done_bytes or 0
        elif (
            message == self._message
            and self._written_at is not None
            and now - self._written_at < WRITE_EVERY_SECONDS
        ):
            return
        self._message, self._written_at = message, now
        elapsed = now - self._phase_began
        moved = (done_bytes or 0) - self._phase_first_bytes
        self._write(
            protocol.Progress(
                verb=self._verb,
                release=release,
                phase=phase,
                done_bytes=done_bytes,
                total_bytes=total_bytes,
                bytes_per_second=int(moved / elapsed) if done_bytes is not None and elapsed > 0 else None,
                message=message,
                parts=parts,
                started_at=self._started,
                updated_at=as_text(self._clock.now()),
                pid=os.getpid(),
            )
        )

    def close(self) -> None:
        """Remove the file at the end of the verb."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, record: protocol.Progress) -> None:
        # A full /run must not fail a stage: progress is optional.
        with suppress(OSError):
            temporary = self._path.with_name(".progress.json")
            temporary.write_text(json.dumps(encode(record)))
            temporary.replace(self._path)
