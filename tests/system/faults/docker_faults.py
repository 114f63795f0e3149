"""What befalls the Docker engine of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults.container_ground import NEW, OLD, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_device import DeviceAtHand
    from tests.system.faults.container_world import ContainerWorld


def _gone(world: ContainerWorld) -> None:
    """Dead, and it stays so until the verb has answered: then systemd may have it again."""
    world.device.sh("systemctl mask --quiet --runtime docker.service docker.socket")
    world.device.sh(
        "systemctl stop docker.socket; kill -9 $(systemctl show --property MainPID --value docker.service)"
    )
    world.device.wait("Docker is gone", lambda: world.device.tries("docker version")[0] != 0)
    world.say()
    world.device.sh("systemctl unmask --quiet --runtime docker.service docker.socket")
    world.device.sh("systemctl start docker.socket docker.service")


def _killed(world: ContainerWorld) -> None:
    """kill -9 while the verb is half way; nobody but systemd starts it again."""
    world.begin()
    world.device.kill_dockerd()
    world.device.wait("Docker is back", lambda: world.device.tries("docker version")[0] == 0)
    world.finish()


def _killed_beside(world: ContainerWorld) -> None:
    """No verb is at work: the engine has to come back by itself."""
    world.device.kill_dockerd()
    world.device.wait("Docker is back", lambda: world.device.tries("docker version")[0] == 0)
    world.device.wait("the engine is back", lambda: engine_of(world.device) is not None)


def _restarted(world: ContainerWorld) -> None:
    """In order, as an upgrade of its package does, while the verb is half way."""
    world.begin()
    world.device.sh("systemctl restart docker.service")
    world.finish()


def _restarted_under_a_stop(world: ContainerWorld) -> None:
    """While the verb waits for an engine that is slow to end: systemd then wants to start it again."""
    world.device.modes({OLD: "deaf", NEW: "deaf"})
    saying = world.device.say(*world.words)
    stopping = "systemctl show --property ActiveState --value thor-engine.service"
    world.device.wait("the engine is being stopped", lambda: world.device.read(stopping) == "deactivating")
    world.device.sh("systemctl restart docker.service")
    world.answer = saying.answer()


def _stopped_for_a_while(world: ContainerWorld) -> None:
    """In order, while the verb is half way; the verb goes on without Docker until it is started."""
    world.begin()
    world.device.sh(f"systemctl stop {_UNITS}")
    world.device.sh(f"{_IN_A_WHILE}={STOPPED_SECONDS} systemctl start {_UNITS}")
    world.finish()


def _stopped_beside(world: ContainerWorld) -> None:
    """No verb is at work: with Docker the engine comes back by itself."""
    world.device.sh(f"systemctl stop {_UNITS}")
    assert engine_of(world.device) is None
    world.device.sh(f"systemctl start {_UNITS}")
    world.device.wait("the engine is back", lambda: engine_of(world.device) is not None)


def _killed_and_time_is_up(world: ContainerWorld) -> None:
    _killed_beside(world)
    world.device.fire_timers()


def _hangs(world: ContainerWorld) -> None:
    """It takes connections and answers none, until the verb has answered."""
    world.device.sh(_SIGNAL.format("STOP"))
    world.say()
    world.device.sh(_SIGNAL.format("CONT"))


def _hangs_for_a_while(world: ContainerWorld) -> None:
    """It comes to itself while the verb still waits."""
    world.device.sh(_SIGNAL.format("STOP"))
    saying = world.device.say(*world.words)
    stopping = "systemctl show --property ActiveState --value thor-engine.service"
    world.device.wait("the engine is being stopped", lambda: world.device.read(stopping) == "deactivating")
    world.device.sh(_SIGNAL.format("CONT"))
    world.answer = saying.answer()


def _old_image_deleted(world: ContainerWorld) -> None:
    """By somebody, by force: the rollback pulls it while the new engine goes on."""
    _delete_old_image(world)
    assert engine_of(world.device) == NEW
    world.say()


def _old_image_deleted_and_new_engine_dies(world: ContainerWorld) -> None:
    """Between the end of the old engine and the start of the new one."""
    world.device.modes({NEW: "exits"})
    world.begin()
    _delete_old_image(world)
    world.finish()


def _delete_old_image(world: ContainerWorld) -> None:
    locked = world.ground.releases[OLD].lock.image
    delete_image(world.device, f"{locked.repository}@{locked.digest}")
    assert world.device.tries(f"docker image inspect {locked.local_tag}")[0] != 0


def delete_image(device: DeviceAtHand, reference: str) -> None:
    """Delete an image under all its names; the container that keeps it from a prune goes first."""
    device.sh(
        f"id=$(docker image inspect --format '{{{{.Id}}}}' {reference}); "
        "for one in $(docker ps --all --quiet); do "
        '[ "$(docker inspect --format "{{.Image}}" $one)" != "$id" ] || docker rm --force $one; done; '
        'docker image rm --force "$id"'
    )


STOPPED_SECONDS = 15  # far below what the agent waits for Docker
_IN_A_WHILE = "systemd-run --quiet --timer-property=AccuracySec=1s --on-active"
_UNITS = "docker.socket docker.service"
_SIGNAL = "kill -{} $(systemctl show --property MainPID --value docker.service)"

FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    "Docker is gone": _gone,
    "Docker hangs": _hangs,
    "Docker hangs for a while": _hangs_for_a_while,
    "Docker is restarted": _restarted,
    "Docker is restarted while the engine ends": _restarted_under_a_stop,
    "Docker is stopped for a while": _stopped_for_a_while,
    "Docker is stopped for a while, no verb at work": _stopped_beside,
    "the old image is deleted": _old_image_deleted,
    "the old image is deleted and the new engine dies": _old_image_deleted_and_new_engine_dies,
    "dockerd is killed": _killed,
    "dockerd is killed, no verb at work": _killed_beside,
    "dockerd is killed, and nobody comes back": _killed_and_time_is_up,
}
