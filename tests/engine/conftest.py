from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.served_release import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient


@pytest.fixture(scope="session")
def engine_address(docker_client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real vLLM with the release of tiny-qwable; shared, since a start takes half a minute."""
    with serving(docker_client, tmp_path_factory.mktemp("engine")) as address:
        yield address
