"""The real agent on a simulated machine: real files; systemd, Docker and the power supply are doubles."""

from __future__ import annotations

import errno
import json
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import ANSWERS
from tests.support.doubles.engine import Engine
from tests.support.stateful_device import Device, Fuse, Images, PowerCut
from tests.system.faults.row import Seen, record_of
from thorctl.agent.core import events
from thorctl.agent.core.files import Files
from thorctl.agent.core.locking import locked
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine import ready
from thorctl.protocol import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DECADES = 30 * 365 * 86400.0


class AgentWorld:
    """A device with ``old`` committed and ``new`` staged; ``words`` is the verb at work in that state."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, exits: ExitStack) -> None:
        self.root, self.patch, self.exits = root, patch, exits
        self.device = Device(root)
        exits.callback(self.device.close)
        self.engine = exits.enter_context(Engine("tiny", answers=ANSWERS))
        self.words: list[str] = []
        self.answer = "done"
        self.state = ""
        self.told = 0

    def reach(self, state: str) -> None:
        self.state = state
        STATES[state](self)
        self.told = len(self.record())

    def befall(self, fault: str) -> None:
        FAULTS[fault](self)

    def seen(self) -> Seen:
        journal = self.device.journal()
        running = self.device.systemd.running_release()
        names = {self.old.id: "old", self.new.id: "new", None: "nothing"}
        return Seen(self.answer, journal.state, names[running], record_of(self.record()[self.told :]))

    def make(self) -> None:
        """Old committed, new staged."""
        self.old = self.device.release(1)
        self.device.done("activate", self.old.id)
        self.device.smoke_passed(self.old)
        self.device.done("commit")
        self.new = self.device.release(2)
        self.words = ["status"]

    def say(self, *words: str, fuse: Fuse | None = None) -> None:
        """Say the verb at work, or others; its answer is the row's."""
        self.answer = "died"
        with suppress(PowerCut):
            outcome = self.device.say(*(words or self.words), fuse=fuse)
            self.answer = outcome.error.code if outcome.error else "done"

    def say_half(self) -> None:
        """Say the verb at work; its process dies in the middle. A twin says how many steps there are."""
        with pytest.MonkeyPatch.context() as patch, ExitStack() as exits:
            twin = AgentWorld(self.root / "twin", patch, exits)
            twin.reach(self.state)
            whole = Fuse()
            twin.say(fuse=whole)
        self.say(fuse=Fuse(whole.steps // 2))

    def record(self) -> list[dict[str, Any]]:
        path = self.device.paths.events
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _committed(world: AgentWorld) -> None:
    world.make()


def _staging(world: AgentWorld) -> None:
    """The checkpoint is here, the release's own files are not yet."""
    world.make()
    world.device.context("x").files.remove_tree(world.device.paths.release_dir(world.new.id))
    document = world.device.paths.at("/release.json")
    document.write_bytes(canonical_json.encode(world.new.document))
    world.words = ["stage", "--release", str(document)]


def _activating(world: AgentWorld) -> None:
    world.make()
    world.words = ["activate", world.new.id]


def _trial(world: AgentWorld) -> None:
    world.make()
    world.device.done("activate", world.new.id)


def _smoking(world: AgentWorld) -> None:
    """On trial, with an engine that generates."""
    world.device.port = world.engine.port
    _trial(world)
    world.words = ["smoke"]


def _committing(world: AgentWorld) -> None:
    _trial(world)
    world.device.smoke_passed(world.new)
    world.words = ["commit"]


def _rolling_back(world: AgentWorld) -> None:
    _trial(world)
    world.words = ["rollback"]


def _further_back(world: AgentWorld) -> None:
    _committing(world)
    world.device.done("commit")
    world.words = ["rollback"]


STATES: dict[str, Callable[[AgentWorld], None]] = {
    "committed": _committed,
    "staging": _staging,
    "activating": _activating,
    "trial": _trial,
    "smoking": _smoking,
    "committing": _committing,
    "rolling back": _rolling_back,
    "rolling back from committed": _further_back,
}


def _nothing(world: AgentWorld) -> None:
    world.say()


def _killed(world: AgentWorld) -> None:
    world.say_half()
    world.device.fire_timers()


def _power_cut(world: AgentWorld) -> None:
    world.say_half()
    _boot(world)


def _reboot(world: AgentWorld) -> None:
    _boot(world)


def _boot(world: AgentWorld) -> None:
    world.device.systemd.power_cut()
    world.device.done("--holder", "device", "recover")
    world.device.systemd.boot()


def _told_to_end(world: AgentWorld) -> None:
    def interrupted(*_: object) -> float:
        raise Interrupted("SIGTERM")

    world.patch.setattr(ready, "wait", interrupted)
    world.say()


def _engine_dies(world: AgentWorld) -> None:
    world.device.systemd.broken = {world.new.id}
    world.say()


def _never_ready(world: AgentWorld) -> None:
    world.device.unready = {world.new.id}
    world.say()


def _disk_refuses(world: AgentWorld, error: int, *, for_good: bool) -> None:
    """A full disk takes no write until its ballast is given up; a read-only one takes nothing."""
    paths, write = world.device.paths, Files.write

    def refuse(self: Files, path: Path, *rest: Any) -> None:
        in_memory = paths.run_dir in path.parents
        if in_memory or (error == errno.ENOSPC and not paths.journal_reserve.exists()):
            write(self, path, *rest)
            return
        raise OSError(error, "the disk refuses")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "write", refuse)
        if error == errno.EROFS:
            for operation in ("remove", "remove_tree"):
                patch.setattr(Files, operation, refuse)
            patch.setattr(events, "append", lambda path, _: refuse(Files(), path))
        world.say()
        if for_good:
            return
    world.device.fire_timers()


def _full(world: AgentWorld) -> None:
    _disk_refuses(world, errno.ENOSPC, for_good=True)


def _read_only(world: AgentWorld) -> None:
    _disk_refuses(world, errno.EROFS, for_good=True)


def _read_only_for_a_while(world: AgentWorld) -> None:
    _disk_refuses(world, errno.EROFS, for_good=False)


def _docker_gone(world: AgentWorld) -> None:
    def gone(*_: object) -> None:
        raise AgentError("docker_unavailable", "Docker does not answer", "Look at it.")

    for call in ("image", "container", "delete_image"):
        world.patch.setattr(Images, call, gone)
    world.say()


def _stop_hangs(world: AgentWorld) -> None:
    """Systemd cannot stop the engine (dockerd hangs); it can again when the timer's rollback is tried."""
    world.device.systemd.fails = {"stop"}
    world.say()
    world.device.systemd.fails = set()
    world.device.fire_timers()


def _deadline(world: AgentWorld) -> None:
    world.device.fire_timers()


def _clock_ahead(world: AgentWorld) -> None:
    world.device.clock.jump(DECADES)
    world.say()
    world.device.done("--holder", "device", "recover")


def _clock_back(world: AgentWorld) -> None:
    world.device.clock.jump(-DECADES)
    world.say()
    world.device.done("--holder", "device", "recover")


def _weights_damaged(world: AgentWorld) -> None:
    weights = world.device.paths.checkpoints / world.new.checkpoint_name / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"WEIGHTS")
    world.say()


def _file_damaged(world: AgentWorld) -> None:
    file = world.device.paths.release_dir(world.new.id) / "serve.yaml"
    file.chmod(0o644)
    file.write_text("a: 2\n")
    world.say()


def _unit_changed(world: AgentWorld) -> None:
    world.device.paths.engine_unit.write_text("# release something else\n")
    _boot(world)


def _busy(world: AgentWorld) -> None:
    owner = {"verb": "bench", "holder": "bob@van", "pid": 7, "since": "2026-11-23T12:00:00Z"}
    with ExitStack() as locks:
        for name in ("lock", "stage.lock"):
            locks.enter_context(locked(world.device.paths.locks / name, world.device.clock, owner))
        world.say()


def _leased(world: AgentWorld) -> None:
    world.device.done("--holder", "bob@van", "lease", "take")
    world.told = len(world.record())
    world.say()


def _held(world: AgentWorld) -> None:
    world.device.done("hold", "set", "on patrol")
    world.told = len(world.record())
    world.say()


def _speaks(mode: str) -> Callable[[AgentWorld], None]:
    """The model answers so; its smoke fails, nobody can commit it, and its time runs out."""

    def befall(world: AgentWorld) -> None:
        world.engine.mode = mode
        world.say()
        world.device.say("commit")
        world.device.fire_timers()

    return befall


FAULTS: dict[str, Callable[[AgentWorld], None]] = {
    "nothing": _nothing,
    "the agent is killed": _killed,
    "power cut": _power_cut,
    "reboot": _reboot,
    "told to end": _told_to_end,
    "the engine dies": _engine_dies,
    "the engine is never ready": _never_ready,
    "full disk": _full,
    "read-only disk": _read_only,
    "disk read-only for a while": _read_only_for_a_while,
    "Docker is gone": _docker_gone,
    "the engine cannot be stopped for a while": _stop_hangs,
    "nobody comes back": _deadline,
    "the clock jumps ahead": _clock_ahead,
    "the clock jumps back": _clock_back,
    "a checkpoint's file is damaged": _weights_damaged,
    "a release's file is damaged": _file_damaged,
    "the unit is changed by hand": _unit_changed,
    "another verb at work": _busy,
    "another's lease": _leased,
    "the device holds": _held,
    "the model babbles": _speaks("babble"),
    "the model answers wrongly": _speaks("wrong_answer"),
    "the model answers with exclamation marks": _speaks("bangs"),
    "the model is gone in mid-sentence": _speaks("dies_mid_stream"),
    "the model dies with two at once": _speaks("dies_when_two"),
}
