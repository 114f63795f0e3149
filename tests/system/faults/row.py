"""One row of the fault table, and what a kind of device must be able to do to be put through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Row:
    """State × fault × expected end. ``old`` was committed before, ``new`` is the release that comes.

    Attributes:
        state: what the device was at; one of the world's ``STATES``.
        fault: what befell it there; one of the world's ``FAULTS``.
        answer: the code of the verb that met the fault; "done", or "died" where nobody was left to answer.
        ends: the state on disk once the device was left to itself.
        serves: "old", "new" or "nothing".
        record: what the events gained, as ``verb:result`` with the error's code for a result that is one;
            ``verb:?`` is a begin without an end.
    """

    state: str
    fault: str
    answer: str
    ends: str
    serves: str
    record: tuple[str, ...]

    @property
    def name(self) -> str:
        """As pytest shows it."""
        return f"{self.state} × {self.fault}"


@dataclass(frozen=True)
class Seen:
    """What a row's end is compared with: looked up on the device, not asked from the verb that failed."""

    answer: str
    ends: str
    serves: str
    record: tuple[str, ...]


class World(Protocol):
    """A kind of device: the double of the agent's tests, a container device, a virtual Thor."""

    def reach(self, state: str) -> None:
        """Bring the device into the row's state, or to the brink of it where it is a verb at work."""

    def befall(self, fault: str) -> None:
        """Let it happen, and leave the device to itself: no operator helps."""

    def seen(self) -> Seen:
        """How it ended."""


def check_whole(rows: Sequence[Row], states: Iterable[str], faults: Iterable[str]) -> None:
    """A table names every state and every fault of its world, and no pair of them twice."""
    assert {row.state for row in rows} == set(states)
    assert {row.fault for row in rows} == set(faults)
    assert len({row.name for row in rows}) == len(rows)


def seen_by(row: Row) -> Seen:
    """What must be seen at the end of ``row``."""
    return Seen(row.answer, row.ends, row.serves, row.record)


def record_of(events: list[dict[str, object]]) -> tuple[str, ...]:
    """Events in the form of ``Row.record``, in the order of their begins."""
    verbs: list[str] = []
    for event in events:
        if event["what"] == "begin":
            verbs.append(f"{event['verb']}:?")
        else:
            at = len(verbs) - 1 - verbs[::-1].index(f"{event['verb']}:?")
            verbs[at] = f"{event['verb']}:{event['error'] or 'done'}"
    return tuple(verbs)
