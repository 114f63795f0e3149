"""A fleet in memory: devices that keep the agent's promises, and all that can go wrong with them.

What a verb does goes on though the controller that asked for it is dead; only its answer is lost. The world
watches what a rollout must never do, and says so at once.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thorctl.answer import Answer
from thorctl.result import Problem
from thorctl.rollout.engine import Begun, Done
from thorctl.rollout.state import text
from thorctl.store.rollouts import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.rollout.steps import Step

OLD, NEW = "m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb"
HOLDER = "ann@desk"
SOAK = 60
# A controller that lives and reaches a device for so long has decided on it.
ATTENDED_SECONDS = 1500.0
SECONDS = {
    "look": 1,
    "preflight": 2,
    "stage": 20,
    "take": 1,
    "activate": 30,
    "smoke": 10,
    "commit": 1,
    "rollback": 15,
    "give": 1,
}
NATURES = ("well", "smoke_fails", "slow", "dies_in_soak", "never_ready", "garbage", "bad_disk", "unfit")


class ViolationError(AssertionError):
    """The rollout did what it must never do."""


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


@dataclass
class Lease:
    holder: str
    reason: str
    expires: float


@dataclass
class ModelDevice:
    """One device: the agent's journal, lease and hold, and its nature: what the new release does on it."""

    name: str
    nature: str = "well"
    state: str = "committed"
    current: str | None = OLD
    previous: str | None = None
    target: str | None = None
    left: str | None = None
    since: int = 0
    deadline: float | None = None
    staged: bool = False
    smoked: bool = False
    smoke_at: float = 0.0
    restarts: int = 0
    lease: Lease | None = None
    hold: str | None = None
    linked: bool = True
    powered_at: float = 0.0
    working: str | None = None  # the verb that has the state lock
    unmeasured: bool = False  # whether no smoke test of the release it has is known
    activations: int = 0
    excuses: int = 0  # trials that ended without a verdict: another activation is needed
    attended: float = 0.0  # seconds of its trial in which a controller lived and could reach it

    @property
    def running(self) -> str | None:
        return self.target if self.state in {"activating", "trial"} else self.current

    def moved(self, state: str) -> None:
        self.state, self.since = state, self.since + 1

    def go_back(self) -> None:
        """Rolling back from a trial, or from a committed release to the one before."""
        if self.state in {"activating", "trial"}:
            self.left, self.target, self.deadline = self.target, None, None
        else:
            self.left, self.current, self.previous = self.current, self.previous, None
        self.moved("committed" if self.current else "empty")


@dataclass(order=True)
class _Job:
    ends: float
    number: int
    device: str = field(compare=False)
    verb: str = field(compare=False)
    step: Step = field(compare=False)
    hands: ModelHands | None = field(compare=False)
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

    def begin(self, hands: ModelHands, begun: Begun) -> None:
        device, step = self.devices[begun.step.device], begun.step
        job = _Job(
            self.time + SECONDS[step.verb], begun.number, device.name, step.verb, step, hands, self.time
        )
        if not device.linked:
            job.refused = _error(device, "device_unreachable", "no answer", reached=False)
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
                if device.attended > ATTENDED_SECONDS:
                    raise ViolationError(f"{device.name} was left to its deadline")
                device.excuses += 1
                device.go_back()
            if device.lease and device.lease.expires <= self.time:
                device.lease = None

    def _refusal(self, device: ModelDevice, step: Step) -> Answer | None:
        lease = device.lease
        if lease and lease.holder != HOLDER:
            shown = {"holder": lease.holder, "reason": lease.reason}
            return _error(device, "leased", f"{lease.holder} holds it", details={"lease": shown})
        if step.verb in {"take", "give", "stage"}:
            return None
        if device.working:
            return _error(device, "busy", f"busy with {device.working}")
        if step.verb == "activate" and device.hold and step.over_hold != device.hold:
            return _error(device, "held", device.hold, details={"hold": {"reason": device.hold}})
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
            device.left = None
            device.moved("activating")
        device.working = step.verb

    def _finish(self, job: _Job) -> None:
        device = self.devices[job.device]
        if job.refused is None and device.powered_at > job.born:
            job.refused = _error(device, "device_unreachable", "it restarted", reached=False)
        answer = job.refused
        if answer is None:
            if device.working == job.verb:
                device.working = None
            answer = _VERBS[job.verb](self, device, job.step)
        if not device.linked:
            answer = _error(device, "device_unreachable", "the link is cut", reached=False)
        if job.hands is not None:
            job.hands.done.append(Done(job.number, answer))


def _ok(device: ModelDevice, verb: str, data: dict[str, Any]) -> Answer:
    return Answer(device.name, {"schema": 1, "verb": verb, "ok": True, "data": data, "error": None})


def _error(
    device: ModelDevice,
    code: str,
    message: str,
    *,
    reached: bool = True,
    details: dict[str, Any] | None = None,
) -> Answer:
    found = {"ok": False, "data": {}, "error": {"code": code, "message": message, "details": details or {}}}
    return Answer(device.name, found if reached else None, Problem(code, message, "r", device.name), reached)


def _look(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "dies_in_soak" and device.state == "trial" and device.smoked:
        device.restarts += 1
    lease = device.lease
    return _ok(
        device,
        "status",
        {
            "state": device.state,
            "release": device.running,
            "target": device.target,
            "since": str(device.since),
            "engine": {"unit": "active", "ready": device.running is not None, "restarts": device.restarts},
            "last_smoke": None
            if device.unmeasured
            else {"release": device.current, "passed": True, "tokens_per_second": 40.0},
            "lease": lease and {"holder": lease.holder, "reason": lease.reason},
            "hold": device.hold and {"reason": device.hold},
        },
    )


def _preflight(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "unfit":
        return _error(device, "preflight_failed", "Preflight failed (memory).")
    return _ok(device, "preflight", {"release": step.release, "counts": {"fail": 0}})


def _stage(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "unfit":
        raise ViolationError(f"{device.name} is staged though its preflight fails")
    if device.nature == "bad_disk":
        return _error(device, "disk_too_small", "no room")
    device.staged = True
    return _ok(device, "stage", {"release": step.release, "downloaded_bytes": 1000, "seconds": 10})


def _take(world: World, device: ModelDevice, step: Step) -> Answer:
    device.lease = Lease(HOLDER, step.reason, world.time + step.seconds)
    return _ok(device, "lease", {"lease": {"holder": HOLDER, "reason": step.reason}})


def _give(world: World, device: ModelDevice, step: Step) -> Answer:
    device.lease = None
    return _ok(device, "lease", {"lease": None})


def _activate(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "activating":
        return _error(device, "internal", "it was interrupted")
    if device.nature == "never_ready":
        device.go_back()
        return _error(device, "engine_not_ready", "not ready")
    device.moved("trial")
    device.deadline = world.time + step.seconds
    return _ok(device, "activate", {"release": device.target, "state": "trial", "ready_seconds": 30})


def _smoke(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state == "committed" and device.current == step.release:
        device.unmeasured = False
        good = {"release": step.release, "passed": True, "tokens_per_second": 40.0, "generations": []}
        return _ok(device, "smoke", good)
    if device.state != "trial" or device.target != step.release:
        return _error(device, "bad_state", "no trial")
    if device.nature == "garbage":
        return _error(device, "agent_garbage", "no JSON")
    if device.nature == "smoke_fails":
        return _error(device, "smoke_failed", "babbles")
    device.smoked, device.smoke_at = True, world.time
    speed = 10.0 if device.nature == "slow" else 40.0
    return _ok(
        device,
        "smoke",
        {
            "release": step.release,
            "passed": True,
            "tokens_per_second": speed,
            "generations": [],
            "seconds": 10,
        },
    )


def _commit(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "trial" or device.target != step.release:
        return _error(device, "bad_state", "no trial")
    if not device.smoked:
        return _error(device, "smoke_missing", "no smoke")
    world.watch("commit", device)
    if device.nature != "well":
        raise ViolationError(f"{device.name} is committed though it is {device.nature}")
    if world.time - device.smoke_at < SOAK:
        raise ViolationError(
            f"{device.name} is committed after a soak of {world.time - device.smoke_at:.0f} s"
        )
    device.previous, device.current, device.target, device.deadline = (
        device.current,
        device.target,
        None,
        None,
    )
    device.moved("committed")
    return _ok(device, "commit", {"release": device.current, "state": "committed"})


def _rollback(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state in {"activating", "trial"} and device.target == step.release:
        device.go_back()
    elif device.left != step.release:
        if device.current != step.release:
            return _error(device, "bad_state", f"{step.release} does not run here")
        if device.previous is None:
            return _error(device, "nothing_to_roll_back", "nothing before")
        device.go_back()
    return _ok(device, "rollback", {"release": device.current, "state": device.state, "from": device.left})


_VERBS = {
    "look": _look,
    "preflight": _preflight,
    "stage": _stage,
    "take": _take,
    "give": _give,
    "activate": _activate,
    "smoke": _smoke,
    "commit": _commit,
    "rollback": _rollback,
}


class ModelHands:
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
            if job.hands is self:
                job.hands = None


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
