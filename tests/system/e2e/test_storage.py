"""The role thor_storage: a device moves to a second disk, loses power and the disk, and serves on."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles import light_image, light_project
from tests.support.simulated import running
from tests.system.e2e.site_world import World, wait_until
from thorctl.sim import device_container, devices
from thorctl.sim.up import ContainerOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

pytestmark = [pytest.mark.sim, pytest.mark.long]

DEVICE = "thor-01"
PATH = ("-e", "thor_storage_path=/mnt/nvme")
MOVE = (*PATH, "-e", "thor_storage_move=true")
FSTAB = "/srv/disk /mnt/nvme none bind,nofail 0 0"
# The volumes of a simulated device are mounted before systemd, as no disk of a Thor is.
SETUP = f"""
set -e
sed -i 's|^exec /sbin/init$|for one in thor containerd docker; do \\
[ ! -e /etc/systemd/system/var-lib-$one.mount ] \\|\\| umount /var/lib/$one; done; exec /sbin/init|' \
    /usr/local/libexec/sim-boot
mkdir -p /mnt/nvme && echo '{FSTAB}' >>/etc/fstab
systemctl daemon-reload && systemctl start mnt-nvme.mount
docker volume create keep && echo kept >/var/lib/docker/volumes/keep/_data/word
"""


@dataclass(frozen=True)
class Moved:
    """A device with a committed release and a second disk."""

    world: World

    @property
    def sim(self) -> Simulated:
        return self.world.sim

    def sh(self, command: str) -> str:
        """A command as root, which has to succeed."""
        return self.sim.run(DEVICE, f"sudo sh -c '{command}'")

    def site(self, *options: str) -> PlaybookRun:
        return self.world.playbook("site", *options, profile="old")

    def reboot(self) -> None:
        devices.reboot(self.sim.client, self.sim.name, DEVICE)

    def serves(self) -> bool:
        """Whether the committed release's engine is ready, and the volume of before the move is there."""
        answer = self.world.agent("status")
        ready = answer["ok"] and answer["data"]["engine"]["ready"]
        return bool(ready) and self.sh("cat /var/lib/docker/volumes/keep/_data/word") == "kept"

    def mounted(self) -> list[str]:
        """Which of the directories are the second disk's."""
        names = ("thor", "containerd", "docker")
        return [
            name for name in names if self.sh(f"test /var/lib/{name} -ef /mnt/nvme/{name} && echo y; true")
        ]


@pytest.fixture(params=[("26.1", "classic"), ("28.5", "containerd")], ids="-".join)
def device(
    docker_client: DockerClient,
    sim_home: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Moved]:
    docker, image_store = request.param
    monkeypatch.setitem(device_container.ENGINE_VOLUMES, "disk", "/srv/disk")
    options = ContainerOptions(docker=docker, image_store=image_store)
    with running(
        docker_client, f"test-{os.getpid()}-storage-{image_store}", devices=1, options=options
    ) as sim:
        light_image.push(sim.client, sim.simulation, light_image.ensure(sim.client, "amd64"))
        light_project.make(tmp_path, sim.simulation, releases={"old": {}})
        made = Moved(World(sim, DEVICE, tmp_path))
        provisioned = made.site()
        assert provisioned.exit_code == 0, provisioned.text
        done = sim.ssh(DEVICE, f"sudo sh <<'END'\n{SETUP}\nEND")
        assert done.returncode == 0, done.stderr
        yield made


def test_a_device_moves_to_a_second_disk_and_never_starts_without_it(device: Moved) -> None:
    refused = device.site(*PATH)
    assert "storage_in_use: /var/lib/thor has data" in " ".join(refused.text.split())
    assert device.site(*MOVE, "--check").exit_code == 0
    assert device.serves()

    # The power fails while it copies: nothing has changed.
    device.sh("dd if=/dev/zero of=/var/lib/thor/checkpoints/large bs=1M count=1500 status=none")
    _cut_while_copying(device)
    assert device.mounted() == []
    wait_until(device.serves, 120)
    device.sh("rm /var/lib/thor/checkpoints/large")

    moved = device.site(*MOVE)
    assert moved.exit_code == 0, moved.text
    assert device.mounted() == ["thor", "containerd", "docker"]
    wait_until(device.serves, 120)
    again = device.site(*PATH)
    assert again.total("changed") == 0, again.text
    assert device.sh("ls -A /mnt/nvme").split() == ["containerd", "docker", "thor"]

    device.reboot()
    assert device.mounted() == ["thor", "containerd", "docker"]
    wait_until(device.serves, 120)

    _lose_the_disk(device)

    device.sh('unshare --mount sh -c "umount --lazy /var/lib/docker && touch /var/lib/docker/old"')
    removed = device.site(*PATH, "-e", "thor_storage_remove_old=true", "--tags", "thor_storage")
    assert removed.total("changed") == 1, removed.text
    again = device.site(*PATH, "-e", "thor_storage_remove_old=true", "--tags", "thor_storage")
    assert again.total("changed") == 0, again.text
    assert device.serves()


def _cut_while_copying(device: Moved) -> None:
    """Start a move, and cut the power once the first partial copy is there."""
    container = device.sim.container(DEVICE)
    cut = threading.Event()

    def watch() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if container.exec_run("test -e /mnt/nvme/.thor.partial/checkpoints/large").exit_code == 0:
                container.kill()
                cut.set()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    run = device.site(*MOVE, "--tags", "thor_storage")
    watcher.join()
    assert cut.is_set(), run.text
    assert run.exit_code != 0
    devices.power_on(device.sim.client, device.sim.name, DEVICE)


def _lose_the_disk(device: Moved) -> None:
    """Boot once without the disk, and once with it again."""
    device.sh('sed -i "s|^/srv/disk|#/srv/disk|" /etc/fstab')
    device.reboot()
    units = device.sim.ssh(DEVICE, "systemctl is-active docker containerd thor-engine thor-recover").stdout
    assert not {"active", "activating"} & set(units.split()), units
    answer = device.world.agent("status")
    assert answer["error"]["code"] == "storage_missing", answer
    assert device.sh("ls -A /mnt/nvme") == ""  # systemd made no source
    run = device.site(*PATH)
    assert "storage_missing: " in run.text
    device.sh('sed -i "s|^#/srv/disk|/srv/disk|" /etc/fstab')
    device.reboot()
    wait_until(device.serves, 120)
