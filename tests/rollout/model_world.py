"""A fleet in memory, and time: devices that keep the agent's promises, and all that can go wrong with them.

What a verb does goes on though the controller that asked for it is dead; only its answer is lost. The world
watches what a rollout must never do, and says so at once.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.rollout.model_agent import VERBS, error
from tests.rollout.model_device import HOLDER, ModelDevice, ViolationError
from thorctl.rollout.run.controller import Begun, Done

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.rollout.model_controller import ModelExecutor
    from thorctl.remote.answer import Answer
    from thorctl.rollout.model.scheduler import Step


# A controller that lives and reaches a device for so long has decided on it.
ATTENDED_SECONDS = 1500.0
SECONDS = {
    "look": 1,
    "preflight": 2,
    "stage": 20,
    "take": 1,
    "activate": 30,
    "smoke": 10,
    "soak": 1,
    "commit": 1,
    "review": 1,
    "rollback": 15,
    "give": 1,
}


@dataclass(order=True)
class _Job:
    ends: float
    number: int
    device: str = field(compare=False)
    verb: str = field(compare=False)
    step: Step = field(compare=False)
    executor: ModelExecutor | None = field(compare=False)
    born: float = field(compare=False)
    refused: Answer | None = field(compare=False, default=None)


class World:
    """Devices and time. ``watch`` is asked before each activation and commit."""

    def __init__(self, devices: Sequence[ModelDevice]) -> None:
        self.time = 1_764_000_000.0
        self.devices = {device.name: device for device in devices}
        self.jobs: list[_Job] = []
        self.watch: Callable[[str, ModelDevice], None] = lambda *_: None
        self.controlled: Callable[[], bool] = lambda: False  # whether a controller lives

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    def mark(self) -> dict[str, Any]:
        return {}

    def begin(self, executor: ModelExecutor, begun: Begun) -> None:
        device, step = self.devices[begun.step.device], begun.step
        job = _Job(
            self.time + SECONDS[step.verb], begun.number, device.name, step.verb, step, executor, self.time
        )
        if not device.linked:
            job.refused = error(device, "device_unreachable", "no answer", reached=False)
        elif step.verb not in {"look", "preflight"}:
            job.refused = self._refusal(device, step)
            if job.refused is None:
                self._start(device, step)
        heapq.heappush(self.jobs, job)

    def pass_time(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Moves on, doing what falls due, at most so far; stops when ``until`` holds."""
        end = self.time + seconds
        while not until():
            deadlines = [one.deadline for one in self.devices.values() if one.deadline is not None]
            due = min([*deadlines, *(job.ends for job in self.jobs[:1]), end])
            self._move_to(min(due, end))
            if due >= end:
                break
            self._expire()
            while self.jobs and self.jobs[0].ends <= self.time:
                self._finish(heapq.heappop(self.jobs))
        self._expire()

    def _move_to(self, time: float) -> None:
        for device in self.devices.values():
            if device.state == "trial" and device.linked and self.controlled():
                device.attended += max(0.0, time - self.time)
        self.time = max(self.time, time)

    def power_cut(self, name: str) -> None:
        """The device restarts: whatever it was at is lost, a trial ends, /run is empty."""
        device = self.devices[name]
        device.working, device.lease, device.hold, device.powered_at = None, None, None, self.time
        if device.state in {"activating", "trial"}:
            device.excuses += 1
            device.go_back()

    def _expire(self) -> None:
        for device in self.devices.values():
            if device.deadline is not None and device.deadline <= self.time and device.working is None:
                if device.attended > ATTENDED_SECONDS and not device.review:
                    raise ViolationError(f"{device.name} was left to its deadline")
                device.excuses += 1
                device.go_back()
            if device.lease and device.lease.expires <= self.time:
                device.lease = None

    def _refusal(self, device: ModelDevice, step: Step) -> Answer | None:
        lease = device.lease
        if lease and lease.holder != HOLDER:
            shown = {"holder": lease.holder, "reason": lease.reason}
            return error(device, "leased", f"{lease.holder} holds it", details={"lease": shown})
        if step.verb in {"take", "give", "stage"}:
            return None
        if device.working:
            return error(device, "busy", f"busy with {device.working}")
        if step.verb == "activate" and device.hold and step.over_hold != device.hold:
            return error(device, "held", device.hold, details={"hold": {"reason": device.hold}})
        return None

    def _start(self, device: ModelDevice, step: Step) -> None:
        if step.verb in {"take", "give", "stage"}:
            return
        if step.verb == "activate":
            self.watch("activate", device)
            if device.running == step.release and device.state in {"trial", "committed"}:
                raise ViolationError(f"{device.name} is activated though it runs {step.release}")
            if device.activations > device.excuses:
                raise ViolationError(f"{device.name} is activated again without need")
            if not device.staged:
                raise ViolationError(f"{device.name} is activated though nothing is staged")
            device.activations += 1
            device.attended = 0.0
            device.target, device.deadline, device.smoked, device.restarts = step.release, None, False, 0
            device.left, device.worked_from = None, None
            device.moved("activating")
        device.working = step.verb

    def _finish(self, job: _Job) -> None:
        device = self.devices[job.device]
        if job.refused is None and device.powered_at > job.born:
            job.refused = error(device, "device_unreachable", "it restarted", reached=False)
        answer = job.refused
        if answer is None:
            if device.working == job.verb:
                device.working = None
            answer = VERBS[job.verb](self, device, job.step)
        if not device.linked:
            answer = error(device, "device_unreachable", "the link is cut", reached=False)
        if job.executor is not None:
            job.executor.done.append(Done(job.number, answer))
