"""How a container device is brought into a row's state: ``old`` is committed, nothing is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults.container_ground import HASTY, NEW, WEIGHTS_MIB
from tests.system.faults.docker_faults import delete_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld

# Calls of systemctl in the middle of a verb: the old engine is stopped, the new one not begun; the journal is
# written, the timers not yet taken back.
TRIAL_SECONDS = "1800"  # over only when the row says so
START = "start --no-block thor-engine.service"
DISARM = "stop thor-activating-*.timer"


def _committed(world: ContainerWorld) -> None:
    world.device.done("hold", "clear")  # a first line in the events, which later rows of a full disk extend


def _pulling(world: ContainerWorld) -> None:
    """Nothing of the release is here; half way is in the image."""
    _committed(world)
    unstage(world, image=False)
    world.through_proxy("registry", 8)


def _staging(world: ContainerWorld) -> None:
    """The image is here; half way is in the weights."""
    _committed(world)
    unstage(world, image=True)
    world.through_proxy("hub", WEIGHTS_MIB / 2)


def _activating(world: ContainerWorld) -> None:
    _committed(world)
    world.words = ["activate", world.new, "--deadline", TRIAL_SECONDS]
    world.call = START


def _trial(world: ContainerWorld) -> None:
    _activating(world)
    world.device.done(*world.words)
    world.call = None
    world.words = ["status"]


def _smoking(world: ContainerWorld) -> None:
    _trial(world)
    world.words = ["smoke"]


def _committing(world: ContainerWorld) -> None:
    _trial(world)
    world.device.done("smoke")
    world.words = ["commit"]
    world.call = DISARM


def _rolling_back(world: ContainerWorld) -> None:
    _trial(world)
    world.words = ["rollback"]
    world.call = START


def _further_back(world: ContainerWorld) -> None:
    _committing(world)
    world.device.done("commit")
    world.words = ["rollback"]
    world.call = START


def unstage(world: ContainerWorld, *, image: bool) -> None:
    """Nothing of the release that comes is on the device, or only its image."""
    lock = world.ground.releases[NEW].lock
    ids = [world.ground.releases[name].id for name in (NEW, HASTY)]
    world.device.sh(
        f"cd /var/lib/thor; for id in {' '.join(ids)}; "
        "do chmod u+w releases/$id; rm -rf releases/$id; done; "
        f"rm -rf checkpoints/{lock.checkpoint.directory}"
    )
    if not image:
        delete_image(world.device, f"{lock.image.repository}@{lock.image.digest}")
    world.words = ["stage", "--release", "/root/new.json"]


STATES: dict[str, Callable[[ContainerWorld], None]] = {
    "committed": _committed,
    "pulling": _pulling,
    "staging": _staging,
    "activating": _activating,
    "trial": _trial,
    "smoking": _smoking,
    "committing": _committing,
    "rolling back": _rolling_back,
    "rolling back from committed": _further_back,
}
