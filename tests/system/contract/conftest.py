from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system.contract import parsers
from tests.system.contract.renderings import renderings

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient


@pytest.fixture(scope="session")
def laid_out(vllm_0_19: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """The packages of each version that the contract is held against; None for the image's own."""
    folder = tmp_path_factory.mktemp("vllm")
    others = [version for version in parsers.VERSIONS if not version.startswith("0.19")]
    return {"0.19.1": vllm_0_19} | {version: parsers.laid_out(version, folder) for version in others}


@pytest.fixture(scope="session")
def answers(docker_client: DockerClient, laid_out: dict[str, Path | None]) -> dict[str, dict[str, Any]]:
    """What each version's parser makes of every rendering; asked once, since its imports take seconds."""
    image = parsers.engine_image(docker_client)
    asked = renderings() | {"misspelled": "model: /x\nmax-num-seqz: 3\n"}
    return {version: parsers.ask(image, asked, laid_out[version]) for version in parsers.VERSIONS}
