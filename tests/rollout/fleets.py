"""A rollout over a model fleet: the engine, its record and its world, put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.rollout.model_controller import Fuse, Killed, ModelExecutor, ModelRecord
from tests.rollout.model_device import HOLDER, NEW, SOAK, ModelDevice, ViolationError
from tests.rollout.model_world import World
from tests.rollout.policies import policy
from thorctl.protocol.identity import Identity
from thorctl.rollout import plan
from thorctl.rollout.model.state import seconds
from thorctl.rollout.model.waves import Candidate
from thorctl.rollout.plan import Seen
from thorctl.rollout.policy import from_document
from thorctl.rollout.run.controller import Engine
from thorctl.store.rollouts import Rollout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.rollout.model.state import State

DOCUMENT = {"profile": {"ready": {"first_start_seconds": 600, "start_seconds": 300}}}


def rollout_of(devices: Sequence[ModelDevice], *, review_seconds: int = 0, **changes: Any) -> Rollout:
    chosen = policy(**{"soak_seconds": SOAK, **changes})
    candidates = [
        Candidate(
            one.name,
            NEW,
            "ab"[i % 2],
            ("night",) if i % 3 == 2 else (),
            keep_failed_seconds=review_seconds,
        )
        for i, one in enumerate(devices)
    ]
    seen = {
        one.name: Seen(True, one.state, one.current, True, 1000, identity=Identity(one.name, one.machine))
        for one in devices
    }
    made = plan.make(candidates, chosen, seen, {}, datetime(2026, 11, 25, tzinfo=UTC))
    return Rollout(
        "2026-11-25T00:00:00+00:00",
        HOLDER,
        "m",
        chosen.model_dump(mode="json"),
        made.document(),
        {NEW: DOCUMENT},
        "20261125-1",
    )


@dataclass
class Fleet:
    """A rollout, its world and its record; the engine comes and goes."""

    devices: list[ModelDevice]
    rollout: Rollout
    world: World
    record: ModelRecord = field(default_factory=ModelRecord)
    engine: Engine | None = None
    executor: ModelExecutor | None = None
    runs: int = 0

    @classmethod
    def of(cls, *natures: str, **changes: Any) -> Fleet:
        devices = [ModelDevice(f"thor-{i:02}", nature) for i, nature in enumerate(natures, start=1)]
        fleet = cls(devices, rollout_of(devices, **changes), World(devices))
        fleet.world.watch = fleet.watch
        fleet.world.controlled = lambda: fleet.engine is not None
        return fleet

    def __getitem__(self, number: int) -> ModelDevice:
        return self.devices[number - 1]

    @property
    def state(self) -> State:
        assert self.engine is not None
        return self.engine.state

    def phases(self) -> list[str]:
        return [one.phase.value for one in self.state.devices.values()]

    def serving(self) -> list[str | None]:
        """What each device is committed to; its state where it is not."""
        return [one.current if one.state == "committed" else one.state for one in self.devices]

    def turn_until(self, phase: str, number: int = 1) -> None:
        """Works until the device is in that phase, and no step of it is under way."""
        self.start()
        name = self[number].name
        while self.state.devices[name].phase.value != phase or name in self.state.open:
            assert self.engine
            self.engine.turn()

    def to_the_end(self) -> str | None:
        """Works on to the end; how it ended, None if it was paused."""
        while self.engine and not self.engine.turn().over:
            pass
        return self.state.ended

    def out_of_service(self) -> int:
        """Devices whose engine is being changed right now."""
        return sum(one.state == "activating" or one.working == "rollback" for one in self.devices)

    def watch(self, what: str, device: ModelDevice) -> None:
        """What must hold whenever a device is changed."""
        lines = self.record.lines
        begun = max(line.id for line in lines if line.verb == what and line.device == device.name)
        if any(line.kind in {"stopped", "aborted"} and line.id < begun for line in lines):
            raise ViolationError(f"{what} of {device.name} after the stop")
        if what == "commit":
            activated = [
                line.wave for line in lines if line.verb == "activate" and line.device == device.name
            ]
            work = device.work(self.world.time) or {}
            if activated[-1] == 1 and work.get("state") != "done":
                raise ViolationError(f"the canary {device.name} is committed, and its soak says {work}")
            return
        calendar = from_document(dict(self.rollout.policy), "test").calendar("a")
        if calendar and not calendar.is_open(datetime.fromtimestamp(self.world.time, UTC)):
            raise ViolationError(f"{device.name} is activated outside its window")
        taken = max(line.id for line in lines if line.verb == "take" and line.device == device.name)
        restarted = device.powered_at >= seconds(lines[taken - 1].at)  # which takes a lease away
        if not restarted and (device.lease is None or device.lease.holder != HOLDER):
            raise ViolationError(f"{device.name} is activated without a lease")
        said = [
            line.data["hold"] for line in lines if line.kind == "over_hold" and line.device == device.name
        ]
        if device.hold and device.hold not in said[-1:]:
            raise ViolationError(f"{device.name} is activated over its hold")
        wave = next(w["number"] for w in self.rollout.plan["waves"] if device.name in w["devices"])
        if wave > 1 and not any(line.kind == "wave_closed" and line.wave == 1 for line in lines):
            raise ViolationError(f"{device.name} is activated before the canary is well")
        at_once = sum(one.state == "activating" for one in self.devices) + 1
        if at_once > self.rollout.policy["parallel"]:
            raise ViolationError(f"{at_once} devices are out of service at once")

    def start(self, blow_at: int | None = None) -> None:
        """A controller takes the rollout over; it may die at its ``blow_at``-th moment."""
        self.runs += 1
        fuse = Fuse(blow_at)
        self.record.fuse = fuse
        self.executor = ModelExecutor(self.world, fuse, lambda: self.record.lines)
        self.engine = Engine(
            self.rollout, self.record, self.executor, self.world, who=HOLDER, run=f"run-{self.runs}"
        )
        self.engine.start()

    def kill(self) -> None:
        """The controller is gone; what its devices do goes on."""
        if self.executor:
            self.executor.dead()
        self.engine = self.executor = None
        self.record.fuse = Fuse()

    def run(self, blow_at: int | None = None, rounds: int = 5000) -> str | None:
        """Runs to the end, or to the controller's; how it ended, or None if it was killed."""
        try:
            self.start(blow_at)
            for _ in range(rounds):
                assert self.engine
                todo = self.engine.turn()
                if todo.over or todo.people:
                    self.check_the_end()
                    return self.state.ended or self.state.paused or "asked"
        except Killed:
            self.kill()
            return None
        raise AssertionError(f"no end in {rounds} rounds: {self.phases()}")

    def check_the_end(self) -> None:
        """A controller that says it is done leaves nobody on trial whom it could reach."""
        for device in self.devices:
            gone = self.state.devices[device.name].phase.value == "unreachable"
            changing = device.state in {"activating", "trial"} and not device.review
            if self.state.ended and device.linked and not gone and changing:
                raise ViolationError(f"{device.name} is {device.state} after the end")

    def lines(self, kind: str) -> list[str]:
        return [line.message for line in self.record.lines if line.kind == kind]
