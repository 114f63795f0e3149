"""Update a soak's record from observations of the engine and the device: running, paused, done, failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.soak.record import DONE, FAILED, RUNNING
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.agent.soak.record import Record

# The first request may compile kernels before its first token; a healthy engine is never silent for longer.
HANG_SECONDS = 180.0
RATE_SECONDS = 60.0  # under load before the rate is checked
QUIET_SECONDS = 5.0  # without other requests before the load resumes: people send more than one
OTHERS_LOOKS = 2  # consecutive observations of other requests: the engine's counters lag behind its streams


@dataclass(frozen=True)
class Seen:
    """One observation; None: it could not be read.

    Attributes:
        at: seconds of a monotonic clock.
        tokens, iterations: the engine's counts of generated tokens and of forward passes.
        requests: running or waiting in the engine; ``ours``: those of the soak.
        pieces: received pieces of answers to the soak's requests, so far.
        working: whether the soak's streams were running before this observation.
        hold: the reason of the device's hold; empty = there is none.
        unit: ActiveState of the engine's unit.
        restarts: of the engine since the soak began.
        faults: of the soak's own generations.
    """

    at: float
    tokens: int | None
    iterations: int | None
    requests: int | None
    ours: int
    pieces: int
    working: bool
    hold: str
    unit: str | None
    restarts: int | None
    faults: tuple[str, ...] = ()


class Watch:
    """Evaluate successive observations. ``priority``: the engine serves other clients' requests first."""

    def __init__(self, record: Record, *, priority: bool) -> None:
        self.record, self._priority = record, priority
        self._last: Seen | None = None
        self._progress_at = 0.0
        self._others = 0
        self._others_at: float | None = None
        self._tokens = self._iterations = self._worked = 0

    def take(self, seen: Seen) -> None:
        """Update the record from an observation."""
        first, last, self._last = self._last is None, self._last or seen, seen
        record, passed = self.record, seen.at - last.at
        record.seconds += passed
        record.paused_seconds += passed if record.paused else 0.0
        record.restarts, record.failures = seen.restarts, len(seen.faults)
        self._count(last, seen, passed)
        if first or not seen.ours or (seen.tokens, seen.pieces) != (last.tokens, last.pieces):
            self._progress_at = seen.at
        fault = None if record.state == FAILED else next(self._faults(seen), None)
        if fault:
            record.state, record.reason, record.paused = FAILED, fault, None
        elif record.state == RUNNING:
            record.paused = self._paused(seen)
            if record.steps >= record.asked.steps:
                record.state, record.paused = DONE, None

    @property
    def works(self) -> bool:
        """Return whether the soak's own streams should run now."""
        return self.record.state == RUNNING and self.record.paused is None

    def _count(self, last: Seen, seen: Seen, passed: float) -> None:
        """Count steps: tokens per stream; with speculative decoding at most the number of passes."""
        record = self.record
        if seen.tokens is None or last.tokens is None:
            return
        made = max(0, seen.tokens - last.tokens)
        self._tokens += made
        steps = self._tokens // record.asked.concurrency
        if seen.iterations is not None and last.iterations is not None:
            self._iterations += max(0, seen.iterations - last.iterations)
            steps = min(steps, self._iterations)
        new = max(0, steps - self._worked)
        self._worked = max(self._worked, steps)
        record.steps += new
        if seen.working:
            record.worked_steps += new
            record.worked_seconds += passed

    def _faults(self, seen: Seen) -> Iterator[str]:
        """Yield the faults, causes before consequences."""
        record, asked = self.record, self.record.asked
        if record.xid:
            yield f"GPU error in the kernel's log: {record.xid[0]}"
        if seen.restarts:
            yield f"its engine was restarted {counted(seen.restarts, 'time')} during the soak"
        if seen.unit not in (None, "active"):
            yield f"its engine ended: unit {seen.unit}"
        if seen.faults:
            yield f"a generation failed: {seen.faults[0]}"
        silent = seen.at - self._progress_at
        if silent >= HANG_SECONDS:
            yield f"its engine hangs: no token for {silent:.0f} s, requests in flight: {seen.ours}"
        if record.state != RUNNING:
            return
        judged = record.worked_seconds >= RATE_SECONDS and silent == 0  # otherwise it may be hanging
        if judged and (record.rate or 0.0) < asked.minimum_rate:
            yield (
                f"too slow: {record.rate:.2f} steps/s of {asked.concurrency} streams, "
                f"at least {asked.minimum_rate:g} are required"
            )
        if record.paused and record.paused_seconds >= asked.pause_seconds:
            yield (
                f"it could not be put under load: {record.steps} of {asked.steps} steps, "
                f"paused for {record.paused_seconds:.0f} s: {record.paused}"
            )

    def _paused(self, seen: Seen) -> str | None:
        """Return the reason of a pause; None = there is none."""
        if seen.hold:
            return f"on hold: {seen.hold}"
        if seen.requests is None or seen.tokens is None:
            return "the engine's /metrics has neither requests nor tokens (disable-log-stats?)"
        if self._priority:
            return None
        self._others = self._others + 1 if seen.requests > seen.ours else 0
        if self._others >= (OTHERS_LOOKS if seen.working else 1):
            self._others_at = seen.at
        if self._others_at is not None and seen.at - self._others_at < QUIET_SECONDS:
            return "requests of other clients"
        return None
