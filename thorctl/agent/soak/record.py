"""The record of a trial's soak, ``/run/thor/private/soak.json``, written by the process that works it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.protocol.states import TRIAL

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal

RUNNING, DONE, FAILED = "running", "done", "failed"
STALE_SECONDS = 60.0  # the record is written once a second; a busy engine may delay that by its time-outs


@dataclass(frozen=True)
class Asked:
    """What the soak is to do.

    Attributes:
        steps: decode steps.
        concurrency: streams at once.
        minimum_rate: steps a second below which the engine is too slow.
        pause_seconds: the longest time in all that holds and others' requests may put the work off.
    """

    steps: int
    concurrency: int
    minimum_rate: float
    pause_seconds: int


@dataclass
class Record:
    """One soak as far as it is.

    Attributes:
        activation: number of the trial's activation.
        since: begin of the engine's start, microseconds of the kernel's monotonic clock.
        restarts_before, container: systemd's count of restarts, and the container, when the soak began.
        reason: why it failed, or what stands in the way of its end.
        steps: decode steps so far: tokens of the engine by its own count, divided by the concurrency.
        worked_steps, worked_seconds: those of the time under load, in which the soak's own streams ran.
        seconds, paused_seconds: since its begin; in which the work was put off.
        paused: why it is put off right now.
        xid: the GPU's errors in the kernel's log since ``since``; None where that log cannot be read.
        restarts: how often the engine was started anew; None where neither systemd nor Docker answers.
        updated: seconds since boot, of the last change.
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
    xid: list[str] | None = None
    restarts: int | None = None
    updated: float = 0.0

    @property
    def rate(self) -> float | None:
        """Steps a second while its own streams ran."""
        return self.worked_steps / self.worked_seconds if self.worked_seconds else None


def save(ctx: Context, record: Record) -> None:
    """Write the record; a restart of the device clears it, and ends the trial too."""
    record.updated = ctx.clock.since_boot()
    ctx.files.write_json(ctx.paths.soak_json, asdict(record), 0o600)


def load(ctx: Context) -> Record | None:
    """The record; None if there is none, or an agent of another version wrote it."""
    try:
        found = read_json(ctx.paths.soak_json)
        if found is None:
            return None
        known = {field.name for field in fields(Record)}
        return Record(
            **{**{key: found[key] for key in known & found.keys()}, "asked": Asked(**found["asked"])}
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None


def shown(ctx: Context, journal: Journal | None) -> dict[str, Any] | None:
    """The soak of the trial that the device is on, as ``status`` and ``soak show`` say it; else None."""
    record = load(ctx)
    if journal is None or record is None or journal.state != TRIAL:
        return None
    return document(ctx, record) if record.activation == journal.activation else None


def document(ctx: Context, record: Record) -> dict[str, Any]:
    """The record for people and for the rollout; ``alive``: whether its process still writes it."""
    hidden = {"asked", "since", "restarts_before", "container", "worked_steps", "updated"}
    asked = record.asked
    return {
        **{key: value for key, value in asdict(record).items() if key not in hidden},
        "steps_wanted": asked.steps,
        "concurrency": asked.concurrency,
        "minimum_steps_per_second": asked.minimum_rate,
        "steps_per_second": None if record.rate is None else round(record.rate, 2),
        "alive": ctx.clock.since_boot() - record.updated < STALE_SECONDS,
    }
