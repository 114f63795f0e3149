"""What befalls the agent, the power supply, or comes from another hand on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults.container_device import TEST_DIR
from thorctl.agent.core.outcome import EXIT_TERMINATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld

_OWNER = '{"verb": "bench", "holder": "bob@van", "pid": 7, "since": "2026-11-23T12:00:00Z"}'


def _nothing(world: ContainerWorld) -> None:
    if world.proxy:
        world.proxy.go_on()
    world.say()


def _killed(world: ContainerWorld) -> None:
    world.begin()
    world.device.kill_agent()
    world.nobody_answers()
    world.device.fire_timers()


def _power_cut(world: ContainerWorld) -> None:
    world.begin()
    world.device.cut_power()
    world.nobody_answers()


def _told_to_end(world: ContainerWorld) -> None:
    world.begin()
    world.device.sh("kill -TERM $(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' /run/thor/private/lock)")
    world.finish()
    assert world.saying is not None
    assert world.saying.process.returncode == EXIT_TERMINATED


def _reboot(world: ContainerWorld) -> None:
    world.device.reboot()


def _unit_changed(world: ContainerWorld) -> None:
    world.device.sh("sed -i '/^Description=/s/$/ changed by hand/' /etc/systemd/system/thor-engine.service")
    world.device.reboot()


def _deadline(world: ContainerWorld) -> None:
    world.device.fire_timers()


def _deadline_waited_for(world: ContainerWorld) -> None:
    """Not hurried on: a trial of 20 seconds, asked for again where one of an hour was asked for."""
    world.device.done("rollback")
    world.told = len(world.device.events())
    world.device.done("activate", world.new, "--deadline", "20")
    world.device.wait("the trial is over", lambda: world.device.journal()["state"] == "committed")


def _weights_damaged(world: ContainerWorld) -> None:
    weights = world.ground.releases["new"].lock.checkpoint.directory
    world.device.sh(
        f"printf X | dd of=/var/lib/thor/checkpoints/{weights}/model.safetensors conv=notrunc seek=9"
    )
    world.say()


def _file_damaged(world: ContainerWorld) -> None:
    world.device.sh(f"echo 'a: 2' >> /var/lib/thor/releases/{world.new}/serve.yaml")
    world.say()


def _old_file_damaged(world: ContainerWorld) -> None:
    """Of the release that the device is to go back to."""
    old = world.ground.releases["old"].id
    world.device.sh(f"echo 'a: 2' >> /var/lib/thor/releases/{old}/serve.yaml")
    world.say()


def _busy(world: ContainerWorld) -> None:
    hold = f"echo $$ > {TEST_DIR}/busy.pid; printf %s '{_OWNER}' >&9; exec sleep 3000"
    world.device.beside(f"cd /run/thor/private; exec 9<>lock 8<>stage.lock; flock 9; flock 8; {hold}")
    world.device.wait(
        "the locks are taken", lambda: world.device.tries(f"test -s {TEST_DIR}/busy.pid")[0] == 0
    )
    world.say()


def _leased(world: ContainerWorld) -> None:
    world.device.done("--holder", "bob@van", "lease", "take")
    world.told = len(world.device.events())
    world.say()


def _lease_over(world: ContainerWorld) -> None:
    world.device.done("--holder", "bob@van", "lease", "take", "--ttl", "1")
    lease = "thor-agent lease show | grep -q '\"lease\": null'"
    world.device.wait("the lease has run out", lambda: world.device.tries(lease)[0] == 0)
    world.told = len(world.device.events())
    world.say()


def _passed_over(world: ContainerWorld) -> None:
    """The operator names the reason that the device holds for."""
    world.device.done("hold", "set", "on patrol")
    world.told = len(world.device.events())
    world.say(*world.words, "--over-hold", "on patrol")


def _hangs(world: ContainerWorld) -> None:
    """The verb waits for an engine that says nothing, and meanwhile the trial's time runs out."""
    world.device.modes({"new": "silent"})
    world.begin()
    world.device.fire_timers()
    world.finish()


def _held(world: ContainerWorld) -> None:
    world.device.done("hold", "set", "on patrol")
    world.told = len(world.device.events())
    if world.proxy:
        world.proxy.go_on()
    world.say()


FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    "nothing": _nothing,
    "the agent is killed": _killed,
    "power cut": _power_cut,
    "told to end": _told_to_end,
    "reboot": _reboot,
    "the unit is changed by hand": _unit_changed,
    "nobody comes back": _deadline,
    "nobody comes back for twenty seconds": _deadline_waited_for,
    "a checkpoint's file is damaged": _weights_damaged,
    "a release's file is damaged": _file_damaged,
    "a file of the old release is damaged": _old_file_damaged,
    "another verb at work": _busy,
    "another's lease": _leased,
    "another's lease has run out": _lease_over,
    "the device holds": _held,
    "the device holds and is passed over": _passed_over,
    "it hangs past the deadline": _hangs,
}
