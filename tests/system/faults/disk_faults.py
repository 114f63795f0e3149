"""A disk without a free block, and one that takes no write at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults.container_device import TEST_DIR
from tests.system.faults.container_states import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld


def _full(world: ContainerWorld) -> None:
    """The state moves to a small file system of its own, which is then filled to its last block."""
    world.device.sh(
        f"mkdir -p {TEST_DIR}/disk && mount -t tmpfs -o size=96m,mode=755 tmpfs {TEST_DIR}/disk && "
        f"cp -a /var/lib/thor/. {TEST_DIR}/disk/ && mount --bind {TEST_DIR}/disk /var/lib/thor"
    )
    world.device.sh("! cat /dev/zero > /var/lib/thor/filler && [ $(stat -fc %a /var/lib/thor) = 0 ]")
    if world.proxy:
        world.proxy.go_on()
    world.say()


def _make_read_only(world: ContainerWorld) -> None:
    """The state's file system and that of the units: on a Thor they are one."""
    world.device.sh(
        "cd /etc/systemd && mount --bind system system && mount -o remount,bind,ro system && "
        "mount -o remount,bind,ro /var/lib/thor"
    )


def _read_only(world: ContainerWorld) -> None:
    _make_read_only(world)
    if world.proxy:
        world.proxy.go_on()
    world.say()


def _read_only_for_a_while(world: ContainerWorld) -> None:
    _read_only(world)
    world.device.sh("mount -o remount,bind,rw /etc/systemd/system && mount -o remount,bind,rw /var/lib/thor")
    world.device.fire_timers()


def _stop_refused(world: ContainerWorld) -> None:
    """systemd does not stop the engine; it does again when the timer tries."""
    assert world.call == START
    world.device.refuse("stop thor-engine.service")
    world.say()
    world.device.relent()
    world.device.fire_timers()


FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    "full disk": _full,
    "read-only disk": _read_only,
    "disk read-only for a while": _read_only_for_a_while,
    "the engine cannot be stopped for a while": _stop_refused,
}
