"""A device's accounts and its agent, with real sshd, sudo and logind; a small program is the engine."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.agent.core.test_local_user import ATTACKER
from thorctl.inventory.devices import Device
from thorctl.remote import agent_archive
from thorctl.remote.relay import relayed
from thorctl.remote.ssh import connect
from thorctl.remote.tunnel import may_open
from thorctl.sim import layout

if TYPE_CHECKING:
    from tests.support.simulated import Simulated

pytestmark = pytest.mark.sim

DEVICE = "thor-01"
OPS = "ops"  # logs in, may run the agent as root, and is in no group
MALLORY = "mallory"  # a local user without rights
SOCKET = "/run/thor/engines/main/engine.sock"
LAUNCHER = '#!/bin/sh\nexec /usr/bin/python3 -I /opt/thor/agent.pyz "$@"\n'
ENGINE = """\
import asyncio, os, sys
async def serve(reader, writer):
    while (await reader.readline()).strip():
        pass
    for piece in (b"HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\n\\r\\n", b"I ", b"serve."):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.3)
    writer.close()
async def main():
    os.umask(0)
    await (await asyncio.start_unix_server(serve, sys.argv[1])).serve_forever()
asyncio.run(main())
"""
SETUP = f"""
set -e
groupadd --system thor-api
useradd --system engine
useradd --create-home {OPS}
useradd {MALLORY}
usermod --append --groups thor-api {layout.USER}
install -d -o {OPS} -m 0700 /home/{OPS}/.ssh
install -o {OPS} -m 0600 /home/{layout.USER}/.ssh/authorized_keys /home/{OPS}/.ssh/authorized_keys
echo '{OPS} ALL=(root) NOPASSWD: /usr/local/bin/thor-agent' >/etc/sudoers.d/{OPS}
install -d -m 0755 /run/thor /run/thor/engines /var/lib/thor /etc/thor
install -d -o engine -g thor-api -m 0750 /run/thor/engines/main
systemd-run --quiet --unit engine-here --uid engine python3 /opt/thor/engine.py {SOCKET}
until [ -S {SOCKET} ]; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def sim(bare: Simulated) -> Simulated:
    """A device with this checkout's agent, two accounts more, and a program on the engine's socket."""
    files = {"usr/local/bin/thor-agent": LAUNCHER.encode(), "opt/thor/engine.py": ENGINE.encode()}
    with tempfile.TemporaryDirectory() as folder:
        files["opt/thor/agent.pyz"] = agent_archive.build(Path(folder) / "agent.pyz").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    assert bare.container(DEVICE).put_archive("/", buffer.getvalue())
    bare.run(DEVICE, f"sudo sh -c {shlex.quote(SETUP)}")
    return bare


def device(sim: Simulated, user: str) -> Device:
    place = sim.simulation.device(DEVICE)
    simulation = sim.simulation
    return Device(DEVICE, place.address, place.port, user, simulation.private_key, simulation.known_hosts)


def agent(sim: Simulated, words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(sim.ssh(DEVICE, f"sudo thor-agent {words}").stdout)
    return answer


async def test_member_of_thor_api_opens_the_socket_itself(sim: Simulated) -> None:
    async with connect(device(sim, layout.USER)) as connection:
        assert await may_open(connection, SOCKET)


async def test_account_with_only_sudo_is_relayed(sim: Simulated, tmp_path: Path) -> None:
    path = str(tmp_path / "engine")
    async with connect(device(sim, OPS)) as connection:
        assert not await may_open(connection, SOCKET)
        async with (
            relayed(connection, DEVICE, path),
            httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path), base_url="http://e") as client,
            client.stream("GET", "/v1/models") as response,
        ):
            came = [(time.monotonic(), piece) async for piece in response.aiter_raw()]
        assert [piece for _, piece in came] == [b"I ", b"serve."]
        assert came[1][0] - came[0][0] > 0.1  # each piece at once
    assert sim.ssh(DEVICE, "pgrep -f 'agent.pyz connect'").returncode == 1


def test_local_user_locks_all_it_can_and_delays_nothing(sim: Simulated) -> None:
    agent(sim, "gc")  # makes the lock
    attack = f"sudo -u {MALLORY} timeout 120 python3 -c {shlex.quote(ATTACKER)} /run/thor"
    words = sim.ssh_words(DEVICE, attack)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mallory:
        assert mallory.stdout is not None
        assert "/run/thor" in mallory.stdout.readline()
        for verb in ("gc", "recover", "lease take", "lease give"):
            assert agent(sim, verb)["error"] is None, verb
        mallory.communicate()


def test_event_names_the_address_of_the_login(sim: Simulated) -> None:
    seen = sim.run(DEVICE, "echo $SSH_CONNECTION").split()[0]
    assert agent(sim, "--holder ann@desk lease take --ttl 1")["error"] is None
    last = json.loads(sim.run(DEVICE, "sudo tail -n 1 /var/lib/thor/events.jsonl"))
    assert (last["verb"], last["holder"], last["address"]) == ("lease", "ann@desk", seen)
