"""Engines that die, hang, starve, or speak garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.doubles.engine_program import LAST_WORDS
from tests.system.faults.container_ground import HASTY, NEW, OLD, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld


def _dies(world: ContainerWorld) -> None:
    """Its own last words are what the operator reads, not systemd's about it."""
    world.device.modes({NEW: "exits"})
    message = world.say().message()
    assert LAST_WORDS in message, message


def _never_ready(world: ContainerWorld) -> None:
    """A release with fifteen seconds to get ready: the others have minutes."""
    world.release = HASTY
    world.words[1] = world.new
    world.device.modes({HASTY: "never_ready"})
    world.say()


def _speaks(mode: str) -> Callable[[ContainerWorld], None]:
    """The model answers so; its smoke fails, nobody can commit it, and its time runs out."""

    def befall(world: ContainerWorld) -> None:
        world.device.modes({NEW: mode})
        world.say()
        assert world.device.say("commit").answer() == "smoke_missing"
        world.device.fire_timers()

    return befall


def _starts(mode: str) -> Callable[[ContainerWorld], None]:
    """The new engine starts so, or the old one ends so; the verb goes through."""

    def befall(world: ContainerWorld) -> None:
        world.device.modes({OLD: mode, NEW: mode})
        world.say()

    return befall


def _crash_loop(world: ContainerWorld) -> None:
    """It was ready; then it ends at once, and again after each start. Nobody comes back."""
    world.device.modes({NEW: "exits"})
    world.device.wait("it is gone", lambda: engine_of(world.device) is None)
    world.device.fire_timers()


def _dies_once(world: ContainerWorld) -> None:
    """Its process is killed, no verb is at work: it has to come back by itself."""
    world.device.sh("kill -9 $(docker inspect --format '{{.State.Pid}}' thor-engine)")
    world.device.wait("it is gone", lambda: engine_of(world.device) is None)


def _out_of_memory(world: ContainerWorld) -> None:
    """It takes more than there is, and the kernel kills it; then its time runs out, if it is on trial."""
    label = str(engine_of(world.device))
    world.device.sh("docker update --memory 96m --memory-swap 96m thor-engine")
    world.device.modes({label: "eats_memory"})
    restarts = "systemctl show --property NRestarts --value thor-engine.service"
    world.device.wait("it is out of memory", lambda: world.device.read(restarts) != "0")
    world.device.modes({})
    assert "status=137" in world.device.read("journalctl --unit thor-engine --lines 20 --no-pager")
    world.device.fire_timers()


FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    "the engine dies": _dies,
    "the engine is never ready": _never_ready,
    "the model babbles": _speaks("babble"),
    "the model answers wrongly": _speaks("wrong_answer"),
    "the model answers with exclamation marks": _speaks("bangs"),
    "the model is gone in mid-sentence": _speaks("dies_mid_stream"),
    "the model dies with two at once": _speaks("dies_when_two"),
    "the model says nothing at all": _speaks("empty"),
    "the model says the same to everybody": _speaks("same_answer"),
    "the model's server answers with errors": _speaks("http_500"),
    "the model thinks and never answers": _speaks("unclosed_thinking"),
    "the engine is slow to start": _starts("starts_after:8"),
    "the engine does not hear that it is to end": _starts("deaf"),
    "the engine ends again and again": _crash_loop,
    "the engine's process is killed": _dies_once,
    "no memory": _out_of_memory,
}
