"""Drives a rollout: reads the record, decides, records what it is about to do, does it, records what came.

Effects, clock and record are passed in. The engine keeps nothing that is not in the record: one that is
killed at any moment and another that takes over come to the same end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.phases import UNTOUCHED
from thorctl.rollout.model.scheduler import decide
from thorctl.rollout.model.state import State, begin, text
from thorctl.store.rollouts import STEP_BEGUN, STEP_ENDED, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.remote.answer import Answer
    from thorctl.rollout.model.scheduler import Event, Step, Todo
    from thorctl.store.rollouts import Rollout

POLL_SECONDS = 2.0  # until an order of another process (pause, abort, approve) is noticed


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that is recorded, to be done. ``number``: the id of its line."""

    number: int
    step: Step


@dataclass(frozen=True, slots=True)
class Done:
    """A step's end, and what the device answered."""

    number: int
    answer: Answer


class Executor(Protocol):
    """Performs steps on devices."""

    def begin(self, steps: Sequence[Begun]) -> None:
        """Begin these steps; does not wait for them."""

    def wait(self, seconds: float) -> list[Done]:
        """Steps that have ended; waits for the first one, but not longer than this."""


class Record(Protocol):
    """The rollout's log."""

    def append(self, lines: Sequence[Line], *, newest: int | None = None) -> bool:
        """Add lines in one piece; when it returns they are safe.

        With ``newest``, only if that line still is the last one; else False, and nothing was added.
        """

    def after(self, line: int) -> list[Line]:
        """Return all lines after this one, of any writer."""


class Clock(Protocol):
    """The time, seconds since the epoch."""

    def now(self) -> float:
        """Now, by a clock that never jumps while this process runs: what times are measured with."""

    def wall(self) -> float:
        """Return the time of this machine's clock, by which maintenance windows open."""

    def mark(self) -> dict[str, Any]:
        """Return what another process needs to continue ``now`` from a recorded line."""


class Engine:
    """One process at work on one rollout. That it is the only one is for the caller to see to."""

    def __init__(
        self,
        rollout: Rollout,
        record: Record,
        executor: Executor,
        clock: Clock,
        *,
        who: str,
        run: str,
        tell: Callable[[State, Sequence[Line]], None] = lambda *_: None,
    ) -> None:
        self._rollout, self._record, self._executor, self._clock = rollout, record, executor, clock
        self._who, self._run, self._tell = who, run, tell
        self.state: State = begin(rollout)

    def start(self) -> None:
        """Take the rollout over, from its beginning or from wherever another process left it."""
        self.state = fold(self.state, self._record.after(self.state.last))  # what was told before
        kind = "resumed" if self.state.run else "started"
        message = f"{kind} by {self._who}"
        if self.state.aborted:
            message = f"devices on trial return, under control of {self._who}"
        self._note([self._line(kind, message, data=self._clock.mark())])

    def turn(self) -> Todo:
        """One round: decide, record, begin, wait. What it returns says whether another one makes sense."""
        self._read()
        todo = self._decided()
        while todo.events or (todo.steps and not self._begin(todo.steps)):
            if todo.events:
                self._note_unless_overtaken([self._event(event) for event in todo.events])
            todo = self._decided()
        if todo.over:
            return todo
        pause = max(0.0, min(todo.wake - self._clock.now(), POLL_SECONDS))
        self._end(self._executor.wait(pause))
        return todo

    def run(self, *, wait_for_people: bool = True) -> State:
        """Rounds until nothing is left to do; without ``wait_for_people`` also until a person is asked."""
        self.start()
        while True:
            todo = self.turn()
            leaves = todo.over or (todo.people and not wait_for_people)
            # An order that came after the decision to leave is heard before we go.
            if leaves and (self.state.ended or self._note_unless_overtaken([self._line("left")])):
                return self.state

    def leave(self, why: str, seconds: float) -> None:
        """Release the leases of unchanged devices, before this process ends.

        A device on trial stays on trial: `resume` commits it, or its deadline rolls it back.
        """
        self._note([self._line("paused", why), self._line("left")])
        until = self._clock.now() + seconds
        while self._clock.now() < until and any(
            one.leased and (one.phase in UNTOUCHED or one.settled) for one in self.state.devices.values()
        ):
            self.turn()

    def _decided(self) -> Todo:
        return decide(self.state, self._clock.now(), self._clock.wall())

    def _begin(self, steps: Sequence[Step]) -> bool:
        """Records these steps and begins them; False: somebody else's order came first, think again."""
        lines = [
            self._line(
                STEP_BEGUN,
                step.reason,
                device=step.device,
                wave=step.wave,
                verb=step.verb,
                data={"release": step.release, "seconds": step.seconds, "over_hold": step.over_hold},
            )
            for step in steps
        ]
        if not self._note_unless_overtaken(lines):
            return False
        begun = [Begun(self.state.open[step.device].id, step) for step in steps]
        self._executor.begin(begun)
        return True

    def _end(self, done: Sequence[Done]) -> None:
        lines = []
        for one in done:
            begun = self.state.open.get(one.answer.device)
            if begun is None or begun.id != one.number:
                continue  # of a run before: its step is in doubt already
            lines.append(self._ended(begun, one.answer))
        if lines:
            self._note(lines)

    def _ended(self, begun: Line, answer: Answer) -> Line:
        error = (answer.object or {}).get("error")
        details = error.get("details") if isinstance(error, dict) else None
        problem = answer.error
        return self._line(
            STEP_ENDED,
            problem.message if problem else "",
            device=begun.device,
            wave=begun.wave,
            verb=begun.verb,
            step=begun.id,
            ok=answer.ok,
            code=problem.code if problem else None,
            data={
                "reached": answer.reached,
                "seconds": round(answer.seconds, 3),
                "data": answer.data,
                "details": details or {},
                "remedy": problem.remedy if problem else None,
            },
        )

    def _event(self, event: Event) -> Line:
        return self._line(event.kind, event.message, wave=event.wave, data=event.data)

    def _line(self, kind: str, message: str = "", **values: Any) -> Line:
        at = text(self._clock.now())
        return Line(self._rollout.id, at, self._who, self._run, kind, message=message, **values)

    def _note(self, lines: Sequence[Line]) -> None:
        self._record.append(lines)
        self._read()

    def _note_unless_overtaken(self, lines: Sequence[Line]) -> bool:
        """What was decided holds for what was known: nothing begins in the wake of an order to stop."""
        noted = self._record.append(lines, newest=self.state.last)
        self._read()
        return noted

    def _read(self) -> None:
        lines = self._record.after(self.state.last)
        if lines:
            self.state = fold(self.state, lines)
            self._tell(self.state, lines)
