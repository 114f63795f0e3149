"""The record of a trial's soak, ``/run/thor/private/soak.json``, written by the soak's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.protocol.decode import decode
from thorctl.protocol.encode import encode
from thorctl.protocol.states import TRIAL
from thorctl.protocol.status import Soak

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal

RUNNING, DONE, FAILED = "running", "done", "failed"
STALE_SECONDS = 60.0  # the record is written every second; a busy engine may delay that by its time-outs


@dataclass(frozen=True)
class Asked:
    """The parameters of a soak.

    Attributes:
        steps: decode steps.
        concurrency: concurrent streams.
        minimum_rate: lowest accepted steps per second.
        pause_seconds: longest total pause for holds and other clients' requests.
    """

    steps: int
    concurrency: int
    minimum_rate: float
    pause_seconds: int


@dataclass
class Record:
    """The progress of a soak.

    Attributes:
        activation: number of the trial's activation.
        since: the engine's start, microseconds of the kernel's monotonic clock.
        restarts_before, container: systemd's count of restarts, and the container, at the soak's begin.
        reason: why it failed, or what prevents its end.
        steps: decode steps so far: the engine's count of tokens, divided by the concurrency.
        worked_steps, worked_seconds: those under the soak's own load.
        seconds, paused_seconds: since its begin; of which paused.
        paused: the reason of the present pause.
        xid: the GPU's errors in the kernel log since ``since``; None if that log cannot be read.
        restarts: number of engine restarts; None if neither systemd nor Docker answers.
        updated: time of the last change, seconds since boot.
    """

    activation: int
    release: str
    asked: Asked
    since: int
    restarts_before: int
    container: str | None
    state: str = RUNNING
    reason: str | None = None
    steps: int = 0
    worked_steps: int = 0
    worked_seconds: float = 0.0
    seconds: float = 0.0
    paused_seconds: float = 0.0
    paused: str | None = None
    generations: int = 0
    failures: int = 0
    xid: tuple[str, ...] | None = None
    restarts: int | None = None
    updated: float = 0.0

    @property
    def rate(self) -> float | None:
        """The steps per second under the soak's own load."""
        return self.worked_steps / self.worked_seconds if self.worked_seconds else None


def save(ctx: Context, record: Record) -> None:
    """Write the record; a restart of the device clears it, and also ends the trial."""
    record.updated = ctx.clock.since_boot()
    ctx.files.write_json(ctx.paths.soak_json, encode(record), 0o600)


def load(ctx: Context) -> Record | None:
    """Return the record; None if there is none, or an agent of another version wrote it."""
    try:
        return decode(Record, read_json(ctx.paths.soak_json))
    except (ValueError, OSError):
        return None


def shown(ctx: Context, journal: Journal | None) -> Soak | None:
    """Return the soak of the present trial; None without a trial or a soak."""
    record = load(ctx)
    if journal is None or record is None or journal.state != TRIAL:
        return None
    return public(ctx, record) if record.activation == journal.activation else None


def public(ctx: Context, record: Record) -> Soak:
    """Return the record as shown by ``status`` and ``soak show``; ``alive``: its process still writes it."""
    return Soak(
        activation=record.activation,
        release=record.release,
        state=record.state,
        reason=record.reason,
        steps=record.steps,
        steps_wanted=record.asked.steps,
        concurrency=record.asked.concurrency,
        minimum_steps_per_second=record.asked.minimum_rate,
        steps_per_second=None if record.rate is None else round(record.rate, 2),
        worked_seconds=record.worked_seconds,
        seconds=record.seconds,
        paused_seconds=record.paused_seconds,
        paused=record.paused,
        generations=record.generations,
        failures=record.failures,
        xid=record.xid,
        restarts=record.restarts,
        alive=ctx.clock.since_boot() - record.updated < STALE_SECONDS,
    )
