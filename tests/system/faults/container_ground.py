"""What the rows of container devices stand on: provisioned devices, releases, and the way back."""

from __future__ import annotations

import io
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook
from tests.support.doubles import light_image, light_project
from tests.system.e2e.host_world import USED_BEFORE
from tests.system.faults.container_device import DeviceAtHand
from thorctl.release import find as releases
from thorctl.sim import power as switch
from thorctl.sim import registry

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.support.simulated import Simulated
    from thorctl.release.document import Release
    from thorctl.sim.state import Simulation

SNAPSHOT = "/var/lib/faults"
# Names of releases and labels of their engines; the hasty one has little time to get ready.
OLD, NEW, HASTY, BABBLES = "old", "new", "hasty", "babbles"
SECOND_TAG = "amd64-second"
SECOND_MIB, WEIGHTS_MIB = 24, 16
_MIB = 2**20
_RELEASES = {
    OLD: {},
    # Another image and other weights: all of it has to be brought, and the old ones have to stay.
    NEW: {"checkpoint": "light-new", "megabytes": str(WEIGHTS_MIB), "image_tag": SECOND_TAG},
    HASTY: {"checkpoint": "light-new", "image_tag": SECOND_TAG, "ready_seconds": "15"},
    BABBLES: {"ENGINE_MODE": "babble"},
}


@dataclass(frozen=True)
class Ground:
    """Both devices serve ``old``; all releases are staged on the first, the one that faults befall."""

    sim: Simulated
    project: Path
    releases: dict[str, Release]

    @property
    def first(self) -> DeviceAtHand:
        """The one that faults befall."""
        return DeviceAtHand(self.sim, "thor-01")

    @property
    def second(self) -> DeviceAtHand:
        """The one that a rollout must leave alone, or reach too."""
        return DeviceAtHand(self.sim, "thor-02")

    def label(self, release: str | None) -> str:
        """``old``, ``new``, ``nothing``."""
        names = {document.id: name for name, document in self.releases.items()}
        return names[release] if release else "nothing"


def lay(sim: Simulated, project: Path) -> Ground:
    """Images, mirror, project; both devices provisioned by site.yml with everything staged.

    The second one was somebody's before.
    """
    simulation = sim.simulation
    light_image.push(sim.client, simulation, light_image.ensure(sim.client, "amd64"))
    push_second(sim.client, simulation)
    light_project.make(project, simulation, releases=_RELEASES)
    made = {name: releases.build(project / "deploy", name) for name in _RELEASES}
    ground = Ground(sim, project, made)
    ground.second.sh(USED_BEFORE)
    run = playbook(
        *("-i", str(simulation.inventory), "site.yml"),
        *("-e", f"thor_deploy={project / 'deploy'}", "-e", f"thor_profile={OLD}"),
    )
    assert run.exit_code == 0, run.text
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_staged, ground), (ground.first, ground.second)))
    return ground


def _staged(ground: Ground, device: DeviceAtHand) -> None:
    """Stage the other releases of the fault table, and record the device as it is then."""
    for name in (NEW, HASTY):
        put(device, f"/root/{name}.json", ground.releases[name].text())
        device.sh(f"thor-agent stage --release /root/{name}.json")
    _snapshot(device)


def put(device: DeviceAtHand, path: str, text: str) -> None:
    """A file of root's on the device."""
    folder, _, name = path.rpartition("/")
    content, buffer = text.encode(), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    device.sim.container(device.name).put_archive(folder, buffer.getvalue())


def restore(ground: Ground, device: DeviceAtHand) -> None:
    """Whatever befell it: ``old`` committed and serving, ``new`` staged, nothing in the way."""
    switch.power_on(ground.sim.client, ground.sim.name, ground.sim.simulation.device(device.name))
    device.sh(f"sh {SNAPSHOT}/restore.sh")
    for name in (OLD, NEW):
        locked = ground.releases[name].lock.image
        image = f"{locked.repository}@{locked.digest}"
        device.sh(f"docker image inspect {image} >/dev/null 2>&1 || docker pull --quiet {image}")
    installed = f"cmp -s {SNAPSHOT}/thor-engine.service /etc/systemd/system/thor-engine.service"
    code, _ = device.tries(f"{installed} && systemctl is-active thor-engine && [ ! -e {SNAPSHOT}/dirty ]")
    if code != 0 or engine_of(device) != OLD:
        device.sh(
            f"rm -f {SNAPSHOT}/dirty; systemctl stop thor-engine; docker rm -f thor-engine >/dev/null 2>&1; "
            f"cp -a {SNAPSHOT}/thor-engine.service /etc/systemd/system/ && systemctl daemon-reload && "
            "systemctl enable -q thor-engine && systemctl reset-failed && systemctl start thor-engine"
        )
    device.wait("old serves", lambda: engine_of(device) == OLD)


def engine_of(device: DeviceAtHand) -> str | None:
    """The label of the engine that answers on its socket, asked from the device itself."""
    ask = (
        "import json,socket; s=socket.socket(socket.AF_UNIX); s.settimeout(20); "
        's.connect("/run/thor/engines/main/engine.sock"); s.sendall(b"GET /control HTTP/1.0\\r\\n\\r\\n"); '
        'print(json.loads(b"".join(iter(lambda: s.recv(65536), b"")).partition(b"\\r\\n\\r\\n")[2])["label"])'
    )
    return device.read(f"python3 -c '{ask}' 2>/dev/null || true") or None


def _snapshot(device: DeviceAtHand) -> None:
    device.sh(
        f"mkdir -p {SNAPSHOT} && cd /var/lib/thor && "
        f"cp -a releases checkpoints state.json /etc/systemd/system/thor-engine.service {SNAPSHOT}/"
    )
    put(device, f"{SNAPSHOT}/restore.sh", (Path(__file__).parent / "restore.sh").read_text(encoding="utf-8"))


def push_second(client: DockerClient, simulation: Simulation) -> None:
    """The same engine in an image of its own: one more layer, which has to be pulled."""
    more = random.Random(SECOND_TAG).randbytes(SECOND_MIB * _MIB)  # noqa: S311 - bytes to tell apart
    dockerfile = f"FROM {light_image.tag('amd64')}\nCOPY more /opt/more\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("Dockerfile", dockerfile), ("more", more)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    image, _ = client.images.build(fileobj=buffer, custom_context=True, rm=True)
    assert image.id is not None
    assert simulation.push_port is not None
    registry.push(
        client,
        image.id,
        light_image.REPOSITORY,
        SECOND_TAG,
        port=simulation.push_port,
        on_progress=lambda _: None,
    )
