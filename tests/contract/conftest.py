from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.contract import parsers
from tests.contract.renderings import renderings

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient


@pytest.fixture(scope="session")
def answers(docker_client: DockerClient, vllm_0_19: Path) -> dict[str, dict[str, Any]]:
    """What each version's parser makes of every rendering; asked once, since its imports take seconds."""
    image = parsers.engine_image(docker_client)
    asked = renderings() | {"misspelled": "model: /x\nmax-num-seqz: 3\n"}
    return {
        version: parsers.ask(image, asked, vllm_0_19 if version.startswith("0.19") else None)
        for version in parsers.VERSIONS
    }
