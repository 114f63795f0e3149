"""A simulation of the fault table's own: its devices are broken in every way, and mended between rows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import running
from tests.system.faults.container_ground import lay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.system.faults.container_ground import Ground


@pytest.fixture(scope="package")
def ground(
    docker_client: DockerClient, sim_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Two devices with the light engine, provisioned once."""
    with running(docker_client, f"faults-{os.getpid()}", devices=2) as sim:
        yield lay(sim, tmp_path_factory.mktemp("faults"))
