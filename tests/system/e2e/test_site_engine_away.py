"""Chat, door and port of a device: with its engine, while that is away, and when it is back.

The tests build on each other, in this order: the engine is stopped once.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE, THORCTL, World, envelope
from thorctl.sim import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

OPS = "ops"  # logs in, may run the agent as root, and is in no group
QUESTION = "What is the capital of France?"
TAKE = (
    "import socket; s = socket.socket(); s.setsockopt(1, {option}, 1); "
    "s.bind(('{address}', 8000)); s.listen()"
)


@pytest.fixture(scope="module")
def ops(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The inventory of an operator whose account has only sudo."""
    keys = f"/home/{layout.USER}/.ssh/authorized_keys"
    world.sim.run(
        DEVICE,
        f"sudo useradd --create-home {OPS} && sudo install -d -o {OPS} /home/{OPS}/.ssh && "
        f"sudo install -o {OPS} -m 0600 {keys} /home/{OPS}/.ssh/authorized_keys && "
        f"echo '{OPS} ALL=(root) NOPASSWD: /usr/local/bin/thor-agent' | sudo tee /etc/sudoers.d/{OPS}",
    )
    inventory = tmp_path_factory.mktemp("ops") / "hosts.yml"
    text = world.sim.simulation.inventory.read_text()
    assert f"ansible_user: {layout.USER}" in text
    inventory.write_text(text.replace(f"ansible_user: {layout.USER}", f"ansible_user: {OPS}"))
    yield inventory
    world.sim.run(DEVICE, f"sudo userdel --remove {OPS}; sudo rm /etc/sudoers.d/{OPS}")


def chat(world: World, inventory: Path | None = None) -> dict[str, Any]:
    where = inventory or world.sim.simulation.inventory
    words = [THORCTL, "--project", world.project, "-i", where, "chat", DEVICE, QUESTION, "--json"]
    return envelope(subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False))


def test_chat_through_an_account_with_only_sudo(world: World, committed: str, ops: Path) -> None:
    socket = world.status()["engine"]["socket"]
    reach = f"import socket; socket.socket(socket.AF_UNIX).connect({socket!r})"
    denied = world.sim.ssh(DEVICE, f"python3 -c {shlex.quote(reach)}", user=OPS)
    assert "PermissionError" in denied.stderr
    assert "Paris" in chat(world, ops)["data"]["answer"]
    assert world.sim.ssh(DEVICE, "pgrep -f 'thor-agent connect|agent.pyz connect'").returncode == 1


@pytest.fixture(scope="module")
def away(world: World, plain: PlaybookRun) -> None:
    """No engine runs, as after an operator's `systemctl stop`."""
    world.sim.run(DEVICE, "sudo systemctl stop thor-engine")


@pytest.mark.usefixtures("away")
def test_chat_without_an_engine_is_told_so(world: World, ops: Path) -> None:
    for inventory in (None, ops):
        (error,) = chat(world, inventory)["errors"]
        assert error["code"] == "engine_not_ready"


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - as a squatter would
def test_while_the_engine_is_away_the_port_is_the_door_s(world: World, address: str) -> None:
    status, retry_after, body = world.ask("/v1/models")
    assert (status, retry_after, body["error"]["code"]) == (503, "10", "engine_not_ready")
    for option in (2, 15):  # SO_REUSEADDR, SO_REUSEPORT
        taken = TAKE.format(option=option, address=address)
        done = world.sim.ssh(DEVICE, f'sudo -u nobody python3 -c "{taken}"')
        assert "Address already in use" in done.stderr


@pytest.mark.usefixtures("away")
def test_a_port_that_another_process_has(world: World, committed: str) -> None:
    world.sim.run(DEVICE, "sudo systemctl stop thor-door")
    squat = "sudo systemd-run --unit squatter python3 -m http.server 8000 --bind 127.0.0.1"
    world.sim.run(DEVICE, squat)
    try:
        world.sim.run(DEVICE, "until ss -ltn | grep -q 127.0.0.1:8000; do sleep 0.2; done")
        refused = world.agent(f"activate {committed}")
        run = world.playbook("preflight")
    finally:
        world.sim.run(DEVICE, "sudo systemctl stop squatter")
    assert refused["error"]["code"] == "port_in_use"
    assert "python3" in refused["error"]["message"]
    assert run.exit_code != 0
    assert "-e thor_preflight_skip=port" in run.text


@pytest.mark.usefixtures("away")
def test_activation_brings_engine_and_door_back(world: World, committed: str, ops: Path) -> None:
    again = world.agent(f"activate {committed}")
    assert again["ok"], again
    world.sim.run(DEVICE, "systemctl is-active thor-door")
    assert world.ask("/v1/models")[0] == 200
    for inventory in (None, ops):
        assert "Paris" in chat(world, inventory)["data"]["answer"]
