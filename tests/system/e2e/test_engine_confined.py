"""The engine of a provisioned device, attacked from its own container, by a local user and from the network.

The light engine in the place of vLLM: site.yml, unit, container, socket, cache and agent are the real ones.
"""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.port_scan import open_ports
from tests.system.e2e.site_world import World
from tests.system.faults.container_ground import OLD
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from tests.support.simulated import Simulated
    from tests.system.faults.container_ground import Ground

pytestmark = pytest.mark.sim

DEVICE = "thor-02"
CACHES = "/var/lib/thor/cache"
CONNECT = f"import socket; socket.socket(socket.AF_UNIX).connect({ENGINE_SOCKET!r})"


@pytest.fixture(scope="module")
def sim(ground: Ground) -> Simulated:
    """A device that site.yml took to a committed release."""
    return ground.sim


@pytest.fixture
def world(ground: Ground) -> World:
    return World(ground.sim, DEVICE, ground.project)


def root(sim: Simulated, command: str) -> str:
    return sim.run(DEVICE, f"sudo sh -c {shlex.quote(command)}")


def in_python(sim: Simulated, program: str) -> str:
    """Run a program in the engine's container, as the engine."""
    words = f"docker exec thor-engine /usr/bin/python3.11 -c {shlex.quote(f'import os; {program}')}"
    return root(sim, f"{words} 2>&1 || true")


def status(sim: Simulated) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(root(sim, "thor-agent status"))["data"]
    return data


def wait_until_ready(sim: Simulated) -> None:
    until = time.monotonic() + 120
    while not status(sim)["engine"]["ready"]:
        assert time.monotonic() < until, "the engine did not come back"
        time.sleep(1)


def seen_by_a_neighbour(sim: Simulated) -> list[int]:
    """Open ports of the device, for another container of its network."""
    networks = sim.container(DEVICE).attrs["NetworkSettings"]["Networks"].values()
    (address,) = {one["IPAddress"] for one in networks}
    return open_ports(address, seen_from=sim.client.containers.get(f"thorctl-{sim.name}-hub"))


def network(world: World, kind: str) -> None:
    """site.yml with this setting, from the role that heeds it."""
    run = world.playbook("site", "--tags", "thor_host", "-e", f"thor_engine_network={kind}", profile=OLD)
    assert run.exit_code == 0, run.text


def test_a_port_scan_of_a_serving_device_shows_ssh_only(sim: Simulated) -> None:
    assert status(sim)["engine"]["ready"]
    assert seen_by_a_neighbour(sim) == [22]


def test_the_engine_has_no_network_and_no_rights(sim: Simulated) -> None:
    (found,) = json.loads(root(sim, "docker inspect thor-engine"))
    host = found["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"], host["ReadonlyRootfs"]) == ("none", "private", True)
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert found["Config"]["User"] == root(sim, "echo $(id -u thor-engine):$(id -g thor-engine)")
    assert in_python(sim, "print(os.listdir('/sys/class/net'))") == "['lo']"


def test_the_engine_gets_a_network_of_its_own_where_the_inventory_asks(sim: Simulated, world: World) -> None:
    network(world, "own")
    assert status(sim)["drift"] == []  # taken at the engine's next start
    root(sim, "systemctl restart thor-engine")
    wait_until_ready(sim)
    (found,) = json.loads(root(sim, "docker inspect thor-engine"))
    assert found["HostConfig"]["NetworkMode"] == "bridge"
    (drift,) = status(sim)["drift"]
    assert (drift["what"], drift["wanted"], drift["found"]) == ("engine network", "none", "bridge")
    assert in_python(sim, "print(sorted(os.listdir('/sys/class/net')))") == "['eth0', 'lo']"
    assert seen_by_a_neighbour(sim) == [22]
    network(world, "none")
    root(sim, "systemctl restart thor-engine")
    wait_until_ready(sim)
    assert status(sim)["drift"] == []


def test_the_engine_reaches_none_of_the_devices_shared_memory(sim: Simulated) -> None:
    """A robot's programs keep theirs there: files of /dev/shm, segments and queues of System V."""
    root(sim, "echo secret >/dev/shm/robot && chmod 666 /dev/shm/robot && ipcmk --shmem 4096 --mode 0666")
    segments = "print(len(open('/proc/sysvipc/shm').readlines()) - 1, os.path.exists('/dev/shm/robot'))"
    try:
        assert int(root(sim, "tail -n +2 /proc/sysvipc/shm | wc -l")) > 0
        assert in_python(sim, segments) == "0 False"
        assert in_python(sim, "open('/dev/shm/robot', 'w').write('owned')") == ""
        assert root(sim, "cat /dev/shm/robot") == "secret"
    finally:
        root(sim, "rm -f /dev/shm/robot; ipcrm --all=shm")


def test_a_setuid_file_in_the_cache_is_nobodys_program(sim: Simulated) -> None:
    copy = "import shutil; shutil.copy('/bin/dash', '/cache/x'); os.chmod('/cache/x', 0o4755)"
    assert in_python(sim, copy) == ""
    (path,) = root(sim, f"find {CACHES} -name x -perm -4000").splitlines()
    assert {"nosuid", "nodev"} <= set(root(sim, f"findmnt -no OPTIONS {CACHES}").split(","))
    done = sim.ssh(DEVICE, f"{path} -c id")
    assert (done.returncode, "Permission denied" in done.stderr) == (126, True)


def test_a_local_user_does_not_connect(sim: Simulated) -> None:
    done = sim.ssh(DEVICE, f"sudo runuser -u nobody -- python3 -c {shlex.quote(CONNECT)}")
    assert "PermissionError" in done.stderr


def test_a_link_in_place_of_the_socket_is_not_the_engine(sim: Simulated) -> None:
    swap = "name = '/run/engine/engine.sock'; os.unlink(name); os.symlink('/run/docker.sock', name)"
    assert in_python(sim, swap) == ""
    assert status(sim)["engine"]["ready"] is False
    refused = json.loads(sim.ssh(DEVICE, "sudo thor-agent connect </dev/null").stdout)
    assert refused["error"]["code"] == "engine_not_ready"
    root(sim, "systemctl restart thor-engine")
    wait_until_ready(sim)
    assert root(sim, f"stat -c %F {ENGINE_SOCKET}") == "socket"


def test_a_program_outside_the_container_is_not_the_engine(sim: Simulated) -> None:
    """The engine's account itself, by a second program."""
    root(sim, f"mv {ENGINE_SOCKET} /run/thor/engines/main/away")
    serve = (
        f"import socket, time; s = socket.socket(1); s.bind({ENGINE_SOCKET!r}); s.listen(); time.sleep(99)"
    )
    root(sim, f"systemd-run --quiet --unit impostor --uid thor-engine python3 -c {shlex.quote(serve)}")
    root(sim, f"until [ -S {ENGINE_SOCKET} ]; do sleep 0.1; done")
    assert status(sim)["engine"]["ready"] is False
    root(sim, f"systemctl stop impostor; mv /run/thor/engines/main/away {ENGINE_SOCKET}")
    wait_until_ready(sim)


def test_a_killed_engine_comes_back_and_status_says_why(sim: Simulated) -> None:
    before = status(sim)["engine"]["restarts"]
    assert root(sim, "systemctl show --value -p StartLimitIntervalUSec thor-engine") in ("0", "infinity")
    root(sim, "docker kill --signal KILL thor-engine")
    time.sleep(2)
    wait_until_ready(sim)
    found = status(sim)["engine"]
    assert found["restarts"] == before + 1
    assert found["last_end"] == {"result": "exit-code", "code": "exited", "status": "137"}


def test_engine_fills_nothing_but_the_place_of_its_socket(sim: Simulated) -> None:
    mounted = root(sim, "findmnt --noheadings --output FSTYPE,OPTIONS /run/thor/engines").split()
    assert mounted[0] == "tmpfs"
    assert {"nosuid", "nodev", "noexec"} <= set(mounted[1].split(","))
    try:
        said = in_python(sim, "[open(f'/run/engine/f{n}', 'w') for n in range(1000)]")
        assert "No space left on device" in said
        root(sim, "touch /run/thor/probe && rm /run/thor/probe")
        assert status(sim)["engine"]["ready"]
    finally:
        root(sim, "rm -f /run/thor/engines/main/f*")
