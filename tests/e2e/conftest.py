"""One device taken from bare to committed, shared by the tests of site.yml and of the operator's verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site_world import DEVICE, World, make_anew, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.simulated import Simulated

# Everything that site.yml makes, outside of Docker.
PLACES = "/opt/thor /etc/thor /etc/tmpfiles.d/thor.conf /usr/local/bin/thor-agent /var/lib/thor/*"
TRACES = f"find {PLACES} 2>/dev/null; true"


@pytest.fixture(scope="package")
def world(
    sim: Simulated, broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A bare device; made anew afterwards, as every test finds it."""
    make_anew(sim, DEVICE)
    yield World(sim, DEVICE, make_project(tmp_path_factory.mktemp("project"), broken_checkpoint))
    make_anew(sim, DEVICE)


@pytest.fixture(scope="package")
def rehearsed(world: World) -> PlaybookRun:
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
