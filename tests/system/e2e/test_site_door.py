"""What a serving device offers: to its own programs, to its accounts, and to another host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.port_scan import open_ports

if TYPE_CHECKING:
    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/thor/engines/main/engine.sock')"


def test_a_local_program_is_served_without_a_key(world: World, committed: str) -> None:
    status, _, models = world.ask("/v1/models")
    assert (status, models["data"][0]["id"]) == (200, "tiny-qwable")


@pytest.mark.parametrize("path", ["/invocations", "/tokenize", "/detokenize", "/metrics", "/docs"])
def test_a_local_program_reaches_no_other_path(world: World, committed: str, path: str) -> None:
    for method in ("GET", "POST"):
        status, _, body = world.ask(path, method)
        assert (status, body["error"]["code"]) == (404, "not_found")


def test_another_host_sees_ssh_and_nothing_else(world: World, committed: str) -> None:
    host = world.sim.simulation.device(world.device).address
    assert open_ports(host) == [22]


def test_the_socket_is_for_members_of_thor_api(world: World, committed: str) -> None:
    assert world.sim.ssh(world.device, f'python3 -c "{CONNECT}"').returncode == 0
    stranger = world.sim.ssh(world.device, f'sudo -u nobody python3 -c "{CONNECT}"')
    assert "Permission denied" in stranger.stderr


@pytest.mark.parametrize("unit", ["thor-door.service", "thor-bridge.service"])
def test_its_units_are_confined(world: World, committed: str, unit: str) -> None:
    world.sim.run(world.device, f"sudo systemd-analyze security --threshold=25 {unit}")
