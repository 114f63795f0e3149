"""A row on a real container device: real agent over SSH, real systemd, real Docker, the light engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.system.faults.container_faults import FAULTS
from tests.system.faults.container_ground import NEW, engine_of, restore
from tests.system.faults.container_states import STATES
from tests.system.faults.cut_proxy import CutProxy
from tests.system.faults.row import Seen, record_of

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tests.system.faults.container_device import DeviceAtHand, Saying
from tests.system.faults.container_ground import Ground

_MIB = 2**20


class ContainerWorld:
    """The first device with ``old`` committed; ``words`` is the verb at work in the row's state.

    Attributes:
        answer: of the verb that met the fault.
        call, proxy: what holds the verb half way: one of its calls of systemctl, or the bytes it fetches.
    """

    def __init__(self, ground: Ground, exits: ExitStack) -> None:
        self.ground, self.exits = ground, exits
        self.device: DeviceAtHand = ground.first
        self.words: list[str] = ["status"]
        self.answer = "done"
        self.release = NEW
        self.call: str | None = None  # of systemctl, in the middle of the verb
        self.proxy: CutProxy | None = None
        self.saying: Saying | None = None

    @property
    def new(self) -> str:
        """Id of the release that comes."""
        return self.ground.releases[self.release].id

    def reach(self, state: str) -> None:
        restore(self.ground, self.device)
        STATES[state](self)
        self.told = len(self.device.events())

    def befall(self, fault: str) -> None:
        FAULTS[fault](self)

    def seen(self) -> Seen:
        """The disk's word, the engine's, the record's; first the device comes to rest."""
        self.device.wait("it is at rest", self._at_rest)
        self.device.wait("an engine answers", lambda: engine_of(self.device) is not None)
        state = self.device.journal()["state"]
        return Seen(
            self.answer, state, serves(self.ground, self.device), record_of(self.device.events()[self.told :])
        )

    # The verb at work, and its middle.

    def say(self, *words: str) -> Saying:
        """Say the verb at work, or another, to its end."""
        saying = self.device.say(*(words or self.words))
        self.answer = saying.answer()
        return saying

    def begin(self) -> None:
        """Say the verb at work, and return half way."""
        if self.call:
            self.device.stop_at(self.call)
        self.saying = self.device.say(*self.words)
        if self.call:
            self.device.reached()
        elif self.proxy:
            while not self.proxy.reached.wait(0.2):
                assert self.saying.process.poll() is None, "the verb ended before the middle of its bytes"
        else:
            self.device.wait("the verb is at work", self._at_work)

    def nobody_answers(self) -> None:
        """Its process is dead; what it waited for is not held any more."""
        assert self.saying is not None
        self.answer = self.saying.answer()
        if self.proxy:
            self.proxy.go_on()

    def finish(self) -> None:
        """It goes on from there, to its end."""
        assert self.saying is not None
        if self.call:
            self.device.go_on()
        if self.proxy:
            self.proxy.go_on()
        self.answer = self.saying.answer()

    def through_proxy(self, part: str, mebibytes: float) -> None:
        """Lets the device reach ``registry`` or ``hub`` only through a proxy that stops after so much."""
        simulation = self.ground.sim.simulation
        address, port = (
            (simulation.registry_address, 5000) if part == "registry" else (simulation.hub_address, 80)
        )
        assert address is not None
        gateway = self.device.read("ip route show default | cut -d ' ' -f 3")  # this machine
        self.proxy = CutProxy(gateway, (address, port), int(mebibytes * _MIB))
        self.exits.callback(self.proxy.close)
        self.filter(
            "nat", "OUTPUT", f"-p tcp -d {address} --dport {port} -j DNAT --to {gateway}:{self.proxy.port}"
        )

    def cut_ssh(self) -> None:
        """The cable between controller and device is pulled."""
        self.filter("filter", "INPUT", "-p tcp --dport 22 -j DROP")
        self.filter("filter", "OUTPUT", "-p tcp --sport 22 -j DROP")

    def mend_ssh(self) -> None:
        """And put back."""
        self.device.sh("iptables -w -F FAULTS-INPUT && iptables -w -F FAULTS-OUTPUT")

    def filter(self, table: str, chain: str, rule: str) -> None:
        """One more rule in the device's packet filter, in a chain of the tests' own."""
        self.device.sh(
            f"iptables -w -t {table} -N FAULTS-{chain} 2>/dev/null && "
            f"iptables -w -t {table} -I {chain} -j FAULTS-{chain}; "
            f"iptables -w -t {table} -A FAULTS-{chain} {rule}"
        )

    def _at_rest(self) -> bool:
        between = self.device.journal()["state"] in {"activating", "rolling-back"}
        return not between and self.device.idle()

    def _at_work(self) -> bool:
        return self.device.tries("grep -q . /run/thor/progress.json")[0] == 0


def serves(ground: Ground, device: DeviceAtHand) -> str:
    """The label that the engine says; the unit, the container and its image have to be that release's."""
    label = str(engine_of(device))
    release = ground.releases[label]
    (container,) = json.loads(device.read("docker inspect thor-engine"))
    sources = {mount["Destination"]: mount["Source"] for mount in container["Mounts"]}
    assert sources["/etc/thor-engine"] == f"/var/lib/thor/releases/{release.id}"
    assert container["Config"]["Image"] == release.lock.image.local_tag
    digest = f"{release.lock.image.repository}@{release.lock.image.digest}"
    image = json.loads(device.read(f"docker image inspect {digest}"))
    assert container["Image"] == image[0]["Id"]
    assert release.id in device.read("cat /etc/systemd/system/thor-engine.service")
    return label
