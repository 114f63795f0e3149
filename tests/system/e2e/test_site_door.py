"""What a serving device offers: to its own programs, to its accounts, and to another host."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

DOOR = "http://127.0.0.1:8000"
ASK = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], method=sys.argv[2])
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as refused:
    answer = refused
print(json.dumps([answer.status, answer.headers.get("Retry-After"), answer.read().decode()]))
"""
CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/thor/engines/main/engine.sock')"
TAKE = (
    "import socket; s = socket.socket(); s.setsockopt(1, {option}, 1); "
    "s.bind(('{address}', 8000)); s.listen()"
)
AT_ONCE = 500


def ask(world: World, path: str, method: str = "GET") -> tuple[int, str | None, Any]:
    """As a program of an account without any rights: status, Retry-After, JSON."""
    done = world.sim.run(world.device, f"sudo -u nobody python3 -c '{ASK}' {DOOR}{path} {method}")
    status, retry_after, body = json.loads(done)
    return status, retry_after, json.loads(body) if body else None


async def open_ports(host: str) -> set[int]:
    """Every TCP port of ``host`` that accepts."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def is_open(port: int) -> bool:
        async with turn:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
            except OSError:
                return False
            writer.close()
            return True

    found = await asyncio.gather(*(is_open(port) for port in range(1, 65536)))
    return {port for port, accepts in enumerate(found, 1) if accepts}


def test_a_local_program_is_served_without_a_key(world: World, committed: str) -> None:
    status, _, models = ask(world, "/v1/models")
    assert (status, models["data"][0]["id"]) == (200, "tiny-qwable")


@pytest.mark.parametrize("path", ["/invocations", "/tokenize", "/detokenize", "/metrics", "/docs"])
def test_a_local_program_reaches_no_other_path(world: World, committed: str, path: str) -> None:
    for method in ("GET", "POST"):
        status, _, body = ask(world, path, method)
        assert (status, body["error"]["code"]) == (404, "not_found")


def test_another_host_sees_ssh_and_nothing_else(world: World, committed: str) -> None:
    host = world.sim.simulation.device(world.device).address
    assert asyncio.run(open_ports(host)) == {22}


def test_the_socket_is_for_members_of_thor_api(world: World, committed: str) -> None:
    assert world.sim.ssh(world.device, f'python3 -c "{CONNECT}"').returncode == 0
    stranger = world.sim.ssh(world.device, f'sudo -u nobody python3 -c "{CONNECT}"')
    assert "Permission denied" in stranger.stderr


@pytest.mark.parametrize("unit", ["thor-door.service", "thor-bridge.service"])
def test_its_units_are_confined(world: World, committed: str, unit: str) -> None:
    world.sim.run(world.device, f"sudo systemd-analyze security --threshold=25 {unit}")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - as a squatter would
def test_while_the_engine_is_away_the_port_is_the_door_s(world: World, committed: str, address: str) -> None:
    world.sim.run(world.device, "sudo systemctl stop thor-engine")
    try:
        status, retry_after, body = ask(world, "/v1/models")
        assert (status, retry_after, body["error"]["code"]) == (503, "10", "engine_not_ready")
        for option in (2, 15):  # SO_REUSEADDR, SO_REUSEPORT
            taken = TAKE.format(option=option, address=address)
            done = world.sim.ssh(world.device, f'sudo -u nobody python3 -c "{taken}"')
            assert "Address already in use" in done.stderr
    finally:
        assert world.agent(f"activate {committed}")["ok"]
    assert ask(world, "/v1/models")[0] == 200
