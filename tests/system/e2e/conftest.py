"""One device taken from bare to committed, shared by the tests of site.yml and of the operator's verbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE, World, envelope, make_anew, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

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


@pytest.fixture(scope="package")
def project(broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles and their locks, for whichever device is given them."""
    return make_project(tmp_path_factory.mktemp("project"), broken_checkpoint)


@pytest.fixture(scope="package")
def world(sim: Simulated, project: Path) -> Iterator[World]:
    """A bare device; made anew afterwards, as every test finds it."""
    make_anew(sim, DEVICE)
    yield World(sim, DEVICE, project)
    make_anew(sim, DEVICE)


@pytest.fixture(scope="package")
def asked_bare(world: World) -> Asked:
    """`thorctl preflight` of the bare device, and which of its files are newer than before."""
    # sudo's own mark of a first time in the home of its user is not the agent's.
    world.sim.run(DEVICE, f"sudo true && touch {MARK} && sleep 1")
    answer = envelope(world.thorctl("preflight", DEVICE, "--json"))
    return Asked(answer, world.sim.run(DEVICE, NEWER).splitlines())


@pytest.fixture(scope="package")
def rehearsed(world: World, asked_bare: Asked) -> PlaybookRun:
    """Check mode on the bare device."""
    return world.playbook("site", "--check", "--diff")


@pytest.fixture(scope="package")
def provisioned(world: World, rehearsed: PlaybookRun) -> PlaybookRun:
    """The first run, on a device that only check mode has touched."""
    assert rehearsed.exit_code == 0, rehearsed.text
    assert world.sim.run(DEVICE, TRACES) == "", "check mode left something behind"
    return world.playbook("site")


@pytest.fixture
def committed(world: World, provisioned: PlaybookRun) -> str:
    """The id of the release that the device has committed."""
    assert provisioned.exit_code == 0, provisioned.text
    status = world.status()
    assert status["state"] == "committed"
    return str(status["release"])
