"""What the verb at work has done so far: ``/run/thor/progress.json``, and ``progress`` of a status."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass


@dataclass(frozen=True)
class Share:
    """Bytes of one of several concurrent phases; None: unknown."""

    done_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One verb at work.

    Attributes:
        verb: the verb at work.
        release: id of the release concerned.
        phase: image, checkpoint, verify, start or smoke; ``image, checkpoint`` while both come.
        done_bytes: bytes of the phase so far; None where it has none.
        total_bytes: bytes of the phase in all; None: unknown.
        bytes_per_second: mean rate of the phase.
        message: one short line for people.
        parts: bytes of each concurrent phase.
        started_at: begin of the verb, RFC 3339, UTC.
        updated_at: time of this record, RFC 3339, UTC.
        pid: process of the verb.
    """

    verb: str
    phase: str
    release: str | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None
    bytes_per_second: int | None = None
    message: str = ""
    parts: dict[str, Share] | None = None
    started_at: str | None = None
    updated_at: str | None = None
    pid: int | None = None

    @property
    def percent(self) -> int | None:
        """How much of the phase's bytes are there, rounded down; None: unknown."""
        if self.done_bytes is None or not self.total_bytes or self.total_bytes < 0:
            return None
        return 100 * self.done_bytes // self.total_bytes
