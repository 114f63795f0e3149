"""Operators over a fleet in memory: thorctl's own verbs, stores and locks; the real agent on each device.

Systemd, Docker and the engine are doubles, an SSH connection is a call, and time passes when somebody waits.
"""

from __future__ import annotations

import getpass
import json
import shutil
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import thorctl.agent.verbs.smoke
import thorctl.agent.verbs.stage
import thorctl.agent.verbs.status
from tests.rollout.model_controller import Killed
from tests.support.device_double import FastClock
from tests.support.stateful_device import Device, Fuse, PowerCut
from thorctl.agent.core.arguments import parser
from thorctl.agent.core.locking import locked
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.state.journal import load_journal
from thorctl.cli import detached, hold, lease, rollback
from thorctl.cli import devices as cli_devices
from thorctl.cli.main import run
from thorctl.cli.rollout import find as rollout_find
from thorctl.cli.rollout import run as rollout_run
from thorctl.cli.rollout import show as rollout_show
from thorctl.cli.rollout.find import state_of
from thorctl.inventory import devices as fleets
from thorctl.remote.answer import Answer, read_answer
from thorctl.rollout import policy_file
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.run import controller, preparation
from thorctl.rollout.run.controller import Begun, Done
from thorctl.rollout.run.preparation import Given
from thorctl.rollout.run.step_call import call_of
from thorctl.store import rollouts
from thorctl.store.connection import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.gather import Source
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal
    from thorctl.remote.detached import Task
    from thorctl.result import Result
    from thorctl.rollout.model.state import State
    from thorctl.rollout.policy import Policy

NAMES = ("thor-01", "thor-02")
SOAK = 60
ACTIVATION_SECONDS = 30.0
MIDDLE = 24  # steps of the agent's into an activation: its journal says ``activating``
POLL_SECONDS = 30.0  # no other process gives an order meanwhile
EXPIRED = 6 * 3600.0  # every trial, every lease of a rollout and every lease by hand is over


@dataclass(frozen=True)
class Operator:
    """A person at a machine: ``state`` is the folder of the store."""

    state: str
    user: str
    host: str


ANN = Operator("ann", "ann", "desk")
ANN_ELSEWHERE = Operator("ann-elsewhere", "ann", "desk")
BOB = Operator("bob", "bob", "van")


@dataclass(frozen=True)
class Death:
    """When the controller is killed: ``before`` a step of a device, in the ``middle`` of it or ``after``."""

    device: str
    verb: str
    when: str
    phase: str | None = None  # of the device, where the verb alone does not say


@dataclass
class World:
    """Two devices, their time, and who sits at the keyboard."""

    root: Path
    patch: pytest.MonkeyPatch
    exits: ExitStack
    time: float = 1_795_000_000.0
    death: Death | None = None
    bad: bool = False  # whether the new release fails its smoke test
    who: Operator = ANN
    devices: dict[str, Device] = field(default_factory=dict)
    old: dict[str, Release] = field(default_factory=dict)
    new: dict[str, Release] = field(default_factory=dict)
    armed: dict[tuple[str, str], float] = field(default_factory=dict)
    working: dict[str, tuple[float, list[str], ExitStack]] = field(default_factory=dict)
    smoked: dict[tuple[str, str], float] = field(default_factory=dict)
    kept: dict[tuple[str, Path], bytes] = field(default_factory=dict)

    def begin(self) -> None:
        """Both devices serve the old release, and could serve the new one."""
        for name in NAMES:
            self.devices[name] = device = Device(self.root / name)
            device.paths.device_json.write_text(json.dumps({"schema": 1, "name": name}))
            self.exits.callback(device.close)
            self.old[name] = device.release(1)
            device.done("activate", self.old[name].id)
            device.smoke_passed(self.old[name])
            device.done("commit")
            self.new[name] = device.release(2)
        _wire(self)
        for name, device in self.devices.items():
            self.kept |= {(name, file): file.read_bytes() for file in _changing(device)}

    def again(self) -> None:
        """As at the beginning; a table has many rows and one world."""
        for name, device in self.devices.items():
            shutil.rmtree(device.paths.run_dir)
            for file in _changing(device):
                file.write_bytes(self.kept[name, file])
            device.systemd.timers.clear()
            device.systemd.armed.clear()
            device.systemd.loaded = device.systemd.running = device.paths.engine_unit.read_bytes()
        for _, _, at_work in self.working.values():
            at_work.close()
        self.armed, self.working, self.smoked, self.death, self.bad = {}, {}, {}, None, False
        shutil.rmtree(self.root / "states", ignore_errors=True)

    # At the keyboard.

    def thorctl(self, who: Operator, *words: str) -> Result:
        """What a person types; dies as a ``kill -9`` does where ``death`` says so."""
        self.who = who
        self.patch.setenv("THORCTL_STATE_DIR", str(self.root / "states" / who.state))
        result = run(["-q", *words])
        assert result is not None
        return result

    def killed(self, death: Death) -> str:
        """Ann's rollout, whose controller dies; its id."""
        self.death = death
        with pytest.raises(Killed):
            self.start(ANN)
        self.death = None
        with opened() as db:
            return rollouts.newest(db)[0].id

    def start(self, who: Operator) -> Result:
        return self.thorctl(who, "rollout", "start", "m", "--soak", str(SOAK), "--yes")

    def states(self, who: Operator) -> list[State]:
        """Where each of an operator's rollouts stands, the newest first."""
        self.patch.setenv("THORCTL_STATE_DIR", str(self.root / "states" / who.state))
        with opened() as db:
            return [state_of(db, one) for one in rollouts.newest(db, 50)]

    # The devices.

    def journal(self, name: str) -> Journal:
        return load_journal(self.devices[name].paths)

    def say(self, name: str, words: Sequence[str], holder: str | None) -> Answer:
        """A verb of the agent's, as the transport brings it there and back."""
        device = self.devices[name]
        before = set(device.systemd.armed)
        outcome = device.say(*(["--holder", holder] if holder else []), *words)
        for timer in set(device.systemd.armed) - before:
            self.armed[name, timer] = self.time
        verb = words[0]
        document = json.dumps(outcome.document(verb))
        return read_answer(name, verb, outcome.exit_code, document, "")

    def ask(
        self,
        devices: Sequence[fleets.Device],
        verb: str,
        args: Sequence[str] = (),
        *,
        holder: str | None = None,
        **_: object,
    ) -> list[Answer]:
        """``transport.run_verb``."""
        if verb in {"plan", "preflight"}:
            data: dict[str, Any] = {"download_bytes": 0, "counts": {"fail": 0}}
            return [Answer(one.name, {"ok": True, "verb": verb, "data": data}) for one in devices]
        return [self.say(one.name, (verb, *args), holder) for one in devices]

    def run_tasks(self, tasks: Sequence[Task], **_: object) -> list[Answer]:
        """``detached.run_tasks``."""
        return [
            answer
            for one in tasks
            for answer in self.ask([one.device], one.call.verb, one.call.words, holder=one.holder)
        ]

    def pass_time(self, seconds: float) -> None:
        """Moves on; activations end, and timers fire."""
        end = self.time + seconds
        while True:
            due = [(ends, name, "") for name, (ends, _, _) in self.working.items()]
            for name, device in self.devices.items():
                due += [
                    (self.armed[name, timer] + device.systemd.seconds_of(timer), name, timer)
                    for timer in device.systemd.timers
                ]
            first = min(due, default=(end, "", ""))
            self._move_to(min(max(first[0], self.time), end))
            if first[0] >= end:
                return
            if first[2]:
                self._fire(first[1], first[2])
            else:
                self.finish(first[1])

    def _move_to(self, time: float) -> None:
        for device in self.devices.values():
            device.clock.skip(time - self.time)
        self.time = time

    def _fire(self, name: str, timer: str) -> None:
        if name in self.working:  # a rollback of the device's own waits for the verb that is at work
            self.finish(name)
        if timer in self.devices[name].systemd.timers:
            answer = self.say(name, self.devices[name].systemd.timers.pop(timer), None)
            assert answer.error is None, answer.error

    def half(self, name: str, words: list[str]) -> None:
        """The agent is in the middle of a verb, and its controller is gone: it goes on alone."""
        device = self.devices[name]
        with suppress(PowerCut):
            device.say(*words, fuse=Fuse(MIDDLE))
        for timer in device.systemd.armed:
            self.armed.setdefault((name, timer), self.time)
        assert self.journal(name).state == "activating"
        at_work = ExitStack()
        owner = {"verb": words[2], "holder": words[1], "pid": 1, "since": "now"}
        at_work.enter_context(locked(device.paths.locks / "lock", device.clock, owner))
        self.working[name] = (self.time + ACTIVATION_SECONDS, words, at_work)

    def finish(self, name: str) -> None:
        _, words, at_work = self.working.pop(name)
        at_work.close()
        self.say(name, words[2:], words[1])

    # The controller.

    def step(self, begun: Begun, holder: str) -> Answer:
        """One step of a rollout, and what must hold when it is taken."""
        step, death = begun.step, self.death
        name = step.device
        call = call_of(step, {})
        words = ["status"] if step.verb in {"preflight", "stage"} else [call.verb, *call.words]
        here = death and (death.device, death.verb) == (name, step.verb) and self._in_phase(name, death.phase)
        if here and death and death.when == "before":
            raise Killed
        if here and death and death.when == "middle":
            self.half(name, ["--holder", holder, *words])
            raise Killed
        if step.verb == "commit":
            soaked = self.time - self.smoked[name, step.release]
            assert soaked >= SOAK, f"{name} is committed after a soak of {soaked:.0f} s"
        if step.verb == "activate" and name != NAMES[0]:
            canary = self.states(self.who)[0].devices.get(NAMES[0])
            assert canary is None or canary.phase is Phase.UPDATED, f"wave 2 begins, the canary is {canary}"
        answer = self.say(name, words, holder)
        if step.verb in {"preflight", "stage"} and answer.ok:
            data = {"release": step.release, "downloaded_bytes": 0, "seconds": 1}
            answer = Answer(name, {"ok": True, "verb": step.verb, "data": data})
        if here:
            raise Killed
        return answer

    def _in_phase(self, name: str, phase: str | None) -> bool:
        if phase is None:
            return True
        return self.states(self.who)[0].devices[name].phase.value == phase


class OperatorsExecutor:
    """In place of ``DeviceExecutor``."""

    def __init__(self, world: World, holder: str) -> None:
        self.world, self.holder = world, holder
        self.progress: dict[str, Mapping[str, Any]] = {}
        self.done: list[Done] = []

    def __enter__(self) -> OperatorsExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def begin(self, steps: Sequence[Begun]) -> None:
        for begun in steps:
            self.done.append(Done(begun.number, self.world.step(begun, self.holder)))

    def wait(self, seconds: float) -> list[Done]:
        if not self.done:
            self.world.pass_time(seconds)
        done, self.done = self.done, []
        return done


def _wire(world: World) -> None:
    """Puts the world in the place of SSH, Ansible, the inventory and the clock."""
    patch = world.patch

    def smoke(ctx: Context, args: Any) -> Outcome:
        journal = load_journal(ctx.paths)
        name = json.loads(ctx.paths.device_json.read_text())["name"]
        if args.id not in {None, journal.running} or journal.state not in {"trial", "committed"}:
            raise AgentError("bad_state", f"{args.id} does not run here.", "r")
        release = next(one for one in (world.old[name], world.new[name]) if one.id == journal.running)
        if world.bad and release is world.new[name]:
            raise AgentError("smoke_failed", "It babbles.", "r")
        world.devices[name].smoke_passed(release)
        world.smoked[name, release.id] = world.time
        data = {"release": release.id, "passed": True, "tokens_per_second": 40.0, "generations": []}
        return Outcome(data)

    def gather(*sources: Source[object], **_: object) -> None:
        for one in sources:
            one.value = one.ask() if one.name in {"unit", "models"} else None

    patch.setattr(thorctl.agent.verbs.smoke, "run", smoke)
    patch.setattr(thorctl.agent.verbs.status, "gather", gather)
    patch.setattr(thorctl.agent.verbs.status, "_models", lambda _, release: release and [release.model])
    for module in (cli_devices, hold, lease, rollback, preparation):
        patch.setattr(module, "run_verb", world.ask)
    patch.setattr(detached, "run_tasks", world.run_tasks)
    patch.setattr(
        rollout_run, "DeviceExecutor", lambda _, holder, *__, **___: OperatorsExecutor(world, holder)
    )
    clock = SimpleNamespace(now=lambda: world.time, wall=lambda: world.time, mark=dict)
    for module in (rollout_run, rollout_find, rollout_show):
        patch.setattr(module, "SteadyClock", lambda *_: clock)
    patch.setattr(getpass, "getuser", lambda: world.who.user)
    patch.setattr(socket, "gethostname", lambda: world.who.host)
    known = [fleets.Device(name, name, device_class="jetson-t5000") for name in NAMES]

    def load(_: object, limit: str | None = None, *__: object) -> list[fleets.Device]:
        return [one for one in known if limit is None or one.name in limit.split(",")]

    patch.setattr(fleets, "load", load)
    patch.setattr(fleets, "find_inventory", lambda *_: world.root)
    load_policy = cache(policy_file.load)

    def impatient(*words: Any) -> Policy:
        chosen: Policy = load_policy(*words)
        waits = {"lease_seconds": 60, "evidence_seconds": 60, "silence_seconds": 60}
        changed = {"wait": chosen.wait.model_copy(update=waits), "work": None}  # no engine to be worked here
        return chosen.model_copy(update=changed)

    patch.setattr(policy_file, "load", impatient)
    given = {name: _as_given(release) for name, release in world.new.items()}
    patch.setattr(preparation, "releases", lambda *_: Given(given))  # type: ignore[arg-type]
    patch.setattr("tests.support.stateful_device.parser", cache(parser))
    patch.setattr(FastClock, "monotonic", lambda self: self.slept)
    patch.setattr(controller, "POLL_SECONDS", POLL_SECONDS)


def _changing(device: Device) -> tuple[Path, ...]:
    """What of a device's disk tells where it stands."""
    return device.paths.journal, device.paths.smoke_json, device.paths.engine_unit


def _as_given(release: Release) -> SimpleNamespace:
    """A release as ``thorctl.release.document`` makes it."""
    return SimpleNamespace(
        id=release.id,
        schema_=release.layout,
        memory=None,
        document=lambda: release.document,
        text=lambda: json.dumps(release.document),
    )
