from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system.contract import parsers
from tests.system.contract.renderings import renderings

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.fixture(scope="session")
def answers(docker_client: DockerClient) -> dict[str, dict[str, Any]]:
    """What each version's parser makes of every rendering; asked once, since its imports take seconds."""
    image = parsers.engine_image(docker_client)
    asked = renderings() | {"misspelled": "model: /x\nmax-num-seqz: 3\n"}
    return {version: parsers.ask(image, asked, parsers.packages(version)) for version in parsers.VERSIONS}
