"""Two devices, provisioned once for all tests of rollouts; bare again afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.site_world import make_anew, make_project
from tests.fleet.pair import DEVICES, Pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulated import Simulated


@pytest.fixture(scope="package")
def pair(sim: Simulated, broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both devices serve the same release."""
    project = make_project(tmp_path_factory.mktemp("fleet"), broken_checkpoint)
    made = Pair(sim, project, tmp_path_factory.mktemp("state"))
    made.add_releases()
    run = made.provision()
    assert run.exit_code == 0, run.text
    yield made
    for device in DEVICES:
        make_anew(sim, device)
