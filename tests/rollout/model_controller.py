"""A controller over a fleet in memory: its executor and its record, and the moments at which it can die."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.rollout.model_device import ViolationError
from thorctl.rollout.model.state import text
from thorctl.store.rollouts import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.rollout.model_world import World
    from thorctl.rollout.run.controller import Begun, Done


class Killed(BaseException):
    """The controller ends here, without any clean-up of its own."""


@dataclass
class Fuse:
    """Counts the moments at which a controller can die; blows at the given one."""

    at: int | None = None
    count: int = 0

    def step(self) -> None:
        self.count += 1
        if self.at is not None and self.count >= self.at:
            raise Killed


class ModelExecutor:
    """Reaches the devices of a world; dies with its controller."""

    def __init__(self, world: World, fuse: Fuse, recorded: Callable[[], Sequence[Line]]) -> None:
        self.world, self.fuse, self.recorded = world, fuse, recorded
        self.done: list[Done] = []

    def begin(self, steps: Sequence[Begun]) -> None:
        known = {line.id: line for line in self.recorded()}
        for begun in steps:
            line = known.get(begun.number)
            if line is None or (line.device, line.verb) != (begun.step.device, begun.step.verb):
                raise ViolationError(f"{begun.step} is taken before it is recorded")
            self.fuse.step()
            self.world.begin(self, begun)
        self.fuse.step()

    def wait(self, seconds: float) -> list[Done]:
        self.world.pass_time(seconds, until=lambda: bool(self.done))
        done, self.done = self.done, []
        return done

    def dead(self) -> None:
        """Answers to it are lost from now on."""
        for job in self.world.jobs:
            if job.executor is self:
                job.executor = None


class ModelRecord:
    """The log in memory, as safe as the disk: what is appended outlives its writer."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.fuse = Fuse()

    def append(self, lines: Sequence[Line], *, newest: int | None = None) -> bool:
        self.fuse.step()
        if newest is not None and newest != len(self.lines):
            return False
        self.lines += [replace(line, id=len(self.lines) + i) for i, line in enumerate(lines, start=1)]
        self.fuse.step()
        return True

    def after(self, line: int) -> list[Line]:
        return self.lines[line:]

    def order(
        self, world: World, kind: str, wave: int | None = None, device: str | None = None, **data: Any
    ) -> None:
        """A line that another process writes: an operator's pause, abort, approval or word over a hold."""
        said = f"{kind} by bob"
        made = Line("1", text(world.time), "bob@desk", "order", kind, device, wave, message=said, data=data)
        self.lines.append(replace(made, id=len(self.lines) + 1))
