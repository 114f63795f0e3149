"""One device taken from bare to committed, shared by the tests of site.yml and of the operator's verbs.

First by an inventory with secrets of every kind (test_secrets.py), then by one without, for all other tests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.simulated import running
from tests.system.e2e import leaks, vaulted_inventory
from tests.system.e2e.host_world import SNAPSHOT
from tests.system.e2e.leaks import LeakyPlaces
from tests.system.e2e.site_world import DEVICE, World, envelope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated
    from tests.system.e2e.vaulted_inventory import VaultedInventory

# Everything that site.yml makes, outside of Docker.
PLACES = (
    "/opt/thor /etc/thor /etc/tmpfiles.d/thor.conf /usr/local/bin/thor-agent /var/lib/thor/* "
    "/etc/systemd/system/thor-* /etc/systemd/system/*/thor-* /etc/systemd/*.conf.d/*thor* "
    "/etc/apt/apt.conf.d/*thor* /etc/sysusers.d/thor-*"
)
MARK = "/home/thor/mark"
# A login leaves its own traces in /run and the logs; the agent's temporary directory is gone again.
NEWER = (
    f"sudo find / /var/lib/docker /var/lib/thor -xdev -newer {MARK}"
    " -not -path '/run*' -not -path '/var/log/*' -not -path /tmp; true"
)
TRACES = f"find {PLACES} 2>/dev/null; true"


@dataclass(frozen=True)
class Asked:
    """A verb's envelope, and what it left on the device."""

    answer: dict[str, Any]
    newer: list[str]


@dataclass(frozen=True)
class Rehearsal:
    """A run in check mode, and the device's settings before and after it."""

    run: PlaybookRun
    before: str
    after: str


@dataclass(frozen=True)
class Provisioned:
    """The first run, and where secrets were seen meanwhile: place to findings."""

    run: PlaybookRun
    seen: dict[str, list[Any]]


@pytest.fixture(scope="package")
def bare(docker_client: DockerClient, sim_home: Path) -> Iterator[Simulated]:
    """Two devices that no site.yml reaches: for tests of the devices themselves."""
    with running(docker_client, f"test-{os.getpid()}-bare", devices=2) as simulated:
        yield simulated


@pytest.fixture(scope="package")
def asked_bare(world: World) -> Asked:
    """`thorctl preflight` of the bare device, and which of its files are newer than before."""
    # sudo's own mark of a first time in the home of its user is not the agent's.
    world.sim.run(DEVICE, f"sudo true && touch {MARK} && sleep 1")
    answer = envelope(world.thorctl("preflight", DEVICE, "--json"))
    return Asked(answer, world.sim.run(DEVICE, NEWER).splitlines())


@pytest.fixture(scope="package")
def rehearsed(world: World, asked_bare: Asked) -> Rehearsal:
    """Check mode on the bare device."""
    before = world.sim.run(DEVICE, SNAPSHOT)
    run = world.playbook("site", "--check", "--diff")
    return Rehearsal(run, before, world.sim.run(DEVICE, SNAPSHOT))


@pytest.fixture(scope="package")
def inventory(world: World, tmp_path_factory: pytest.TempPathFactory) -> VaultedInventory:
    """Secrets of every kind."""
    one = vaulted_inventory.make(world, tmp_path_factory.mktemp("vaulted"))
    one.give_keys([one.new_key("alice"), one.new_key("bob")])
    return one


@pytest.fixture(scope="package")
def places(world: World) -> LeakyPlaces:
    """The device, looked through."""
    return LeakyPlaces(world.sim.container(world.device))


@pytest.fixture(scope="package")
def provisioned(
    world: World, rehearsed: Rehearsal, inventory: VaultedInventory, places: LeakyPlaces
) -> Provisioned:
    """The first run, on a device that only check mode has touched: every part of site.yml has work."""
    assert rehearsed.run.exit_code == 0, rehearsed.run.text
    assert world.sim.run(DEVICE, TRACES) == "", "check mode left something behind"
    with (
        leaks.processes_watched_here(inventory.plain) as here,
        places.processes_watched(inventory.plain) as there,
    ):
        run = inventory.playbook("site", "--diff")
    seen: dict[str, list[Any]] = {
        "arguments on this machine": sorted(here),
        "processes of the device": list(there),
        "ansible -vvv --diff": leaks.in_text(run.text, inventory.plain),
    }
    return Provisioned(run, seen)


@pytest.fixture(scope="package")
def plain(world: World, provisioned: Provisioned) -> PlaybookRun:
    """The second run, by the simulation's inventory, which has no secrets."""
    assert provisioned.run.exit_code == 0, provisioned.run.text
    return world.playbook("site")


@pytest.fixture
def committed(world: World, plain: PlaybookRun) -> str:
    """The id of the release that the device has committed."""
    assert plain.exit_code == 0, plain.text
    status = world.status()
    assert status["state"] == "committed"
    return str(status["release"])
