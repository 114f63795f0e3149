"""thorctl chat, through an account that has only sudo, and after the engine was killed."""

from __future__ import annotations

import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE, THORCTL, World, envelope
from thorctl.sim import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

OPS = "ops"  # logs in, may run the agent as root, and is in no group
QUESTION = "What is the capital of France?"
READY_SECONDS = 300.0


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


def wait_until_ready(world: World) -> None:
    until = time.monotonic() + READY_SECONDS
    while not world.status()["engine"]["ready"]:
        assert time.monotonic() < until
        time.sleep(2)


def test_chat_through_an_account_with_only_sudo(world: World, committed: str, ops: Path) -> None:
    socket = world.status()["engine"]["socket"]
    reach = f"import socket; socket.socket(socket.AF_UNIX).connect({socket!r})"
    denied = world.sim.ssh(DEVICE, f"python3 -c {shlex.quote(reach)}", user=OPS)
    assert "PermissionError" in denied.stderr
    assert "Paris" in chat(world, ops)["data"]["answer"]
    assert "Paris" in chat(world)["data"]["answer"]
    assert world.sim.ssh(DEVICE, "pgrep -f 'thor-agent connect|agent.pyz connect'").returncode == 1


def test_chat_after_the_engine_was_killed(world: World, committed: str, ops: Path) -> None:
    world.sim.run(DEVICE, "sudo docker kill --signal KILL thor-engine")
    for inventory in (None, ops):
        (error,) = chat(world, inventory)["errors"]
        assert error["code"] == "engine_not_ready"
    wait_until_ready(world)
    for inventory in (None, ops):
        assert "Paris" in chat(world, inventory)["data"]["answer"]
