"""What befalls a rollout: its controller, the way to the device, a second operator, the release itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults.container_ground import HASTY, NEW, engine_of
from tests.system.fleet.fleet_world import FleetWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.rollout_world import RolloutWorld


def _killed_and_resumed(world: RolloutWorld) -> None:
    world.kill()
    world.let_go()
    world.fleet.thorctl("rollout", "resume", "--yes")
    world.look()


def _killed_for_good(world: RolloutWorld) -> None:
    world.kill()
    world.let_go()
    _nobody_comes_back(world)
    world.look()


def _nobody_comes_back(world: RolloutWorld) -> None:
    world.device.wait("the verb has ended", world.device.idle)
    world.device.fire_timers()


def _network_cut(world: RolloutWorld) -> None:
    """From here on the controller reaches the canary no more; the canary's deadline passes."""
    world.canary.cut_ssh()
    world.let_go()
    _nobody_comes_back(world)
    world.end()


def _network_cut_and_back(world: RolloutWorld) -> None:
    """As before; then it is reached again, and the rollout is resumed: it looks, and changes nothing."""
    _network_cut(world)
    world.canary.mend_ssh()
    world.fleet.thorctl("rollout", "resume", "--yes")
    world.look()


def _second_operator(world: RolloutWorld) -> None:
    """Carl rolls out another release, from another machine: he gets neither device, and ann's goes on."""
    carl = FleetWorld(world.ground.sim, world.ground.project, world.stores / "carl", operator="carl")
    told = carl.json("rollout", "start", HASTY, "--policy", world.policy, "--yes")
    assert told["exit_code"] != 0, told
    world.let_go()
    world.end()


def _release(mode: str, *, policy: str = "quick", name: str = NEW) -> Callable[[RolloutWorld], None]:
    """The release that is rolled out does so on the canary."""

    def befall(world: RolloutWorld) -> None:
        world.release, world.policy = name, policy
        world.device.modes({name: mode})
        world.start()
        world.end()

    return befall


def _dies_in_the_soak(world: RolloutWorld) -> None:
    """It was ready and answered well; now it ends once, and systemd starts it again."""
    world.device.sh("kill -9 $(docker inspect --format '{{.State.Pid}}' thor-engine)")
    world.end()


def _stays_dead_in_the_soak(world: RolloutWorld) -> None:
    world.device.modes({NEW: "exits"})
    world.device.wait("it is gone", lambda: engine_of(world.device) is None)
    world.end()


FAULTS: dict[str, Callable[[RolloutWorld], None]] = {
    "nothing": _release("good"),
    "the controller is killed and resumed": _killed_and_resumed,
    "the controller is killed, and nobody comes back": _killed_for_good,
    "the network is cut": _network_cut,
    "the network is cut, comes back, and it is resumed": _network_cut_and_back,
    "a second controller begins": _second_operator,
    "the model babbles": _release("babble"),
    "the model is slow": _release("slow", policy="brisk"),
    "the engine is never ready": _release("never_ready", name=HASTY),
    "the engine dies at once": _release("exits"),
    "the engine dies once in the soak": _dies_in_the_soak,
    "the engine dies in the soak for good": _stays_dead_in_the_soak,
}
