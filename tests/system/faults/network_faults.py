"""Registry, mirror and the way to the controller: gone, gone half way, or serving something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld


def _gone(world: ContainerWorld) -> None:
    """From the first byte on."""
    assert world.proxy is not None
    world.proxy.cut()
    world.say()


def _gone_half_way(world: ContainerWorld) -> None:
    assert world.proxy is not None
    world.begin()
    world.proxy.cut()
    assert world.saying is not None
    world.answer = world.saying.answer()


def _back_again(world: ContainerWorld) -> None:
    """Gone half way, so that staging fails; there again when it is said again."""
    _gone_half_way(world)
    assert world.proxy is not None
    world.proxy.heal()
    world.say()


def _other_bytes(world: ContainerWorld) -> None:
    """The mirror serves weights of the right size, and not those that were locked."""
    assert world.proxy is not None
    lock = world.ground.releases["new"].lock.checkpoint
    (weights,) = [file for file in lock.files if file.path == "model.safetensors"]
    tree = world.ground.sim.simulation.hub_tree
    served = (tree / lock.repository / "resolve" / lock.commit / weights.path).resolve()
    right = served.read_bytes()
    world.exits.callback(served.write_bytes, right)
    served.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    world.proxy.go_on()
    world.say()


def _cut_off(world: ContainerWorld) -> None:
    """The cable between controller and device is pulled half way; the agent goes on without anybody."""
    world.begin()
    assert world.saying is not None
    world.cut_ssh()
    world.saying.process.kill()
    world.finish()
    world.device.wait("the verb has ended", world.device.idle)


def _cut_off_for_good(world: ContainerWorld) -> None:
    """And nobody comes back: the deadline passes."""
    _cut_off(world)
    world.device.fire_timers()


FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    "it is gone": _gone,
    "it is gone half way": _gone_half_way,
    "it is gone half way and comes back": _back_again,
    "other bytes come": _other_bytes,
    "the network is cut": _cut_off,
    "the network is cut, and nobody comes back": _cut_off_for_good,
}
