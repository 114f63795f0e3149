"""What `render` takes of an option's value is what the real vLLM takes, its parser and its validation."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.documents import lock_for
from tests.system.contract import parsers
from tests.system.contract.serve_values import cases
from thorctl.errors import ThorError
from thorctl.files.schema import WrongKeyError
from thorctl.release import model_config, profile
from thorctl.release.render import require_options, yaml_value
from thorctl.release.serve_options import check_options

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.release.model_config import ModelFigures, UnknownModel

PROJECT = Path(__file__).resolve().parents[3]
MODEL = PROJECT / "images" / "tiny-qwable" / "model"
CASES = cases()
pytestmark = pytest.mark.vllm


def serve_yaml(options: dict[str, Any]) -> str:
    return "model: MODEL\n" + "".join(f"{name}: {yaml_value(value)}\n" for name, value in options.items())


@pytest.fixture(scope="module")
def refused(docker_client: DockerClient) -> dict[str, dict[str, str | None]]:
    """Each version's complaint about each case; None where it would start."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    files = {name: (MODEL / name).read_text() for name in names}
    asked = {"files": files, "serve": {name: serve_yaml(options) for name, options in CASES.items()}}
    image = parsers.engine_image(docker_client)
    return {
        version: parsers.ask(image, asked, parsers.packages(version), "validate_serve.py")["refused"]
        for version in parsers.VERSIONS
    }


@functools.cache
def given() -> tuple[profile.Profile, ModelFigures | UnknownModel]:
    of = profile.load(PROJECT / "deploy", "tiny-qwable")
    return of, model_config.read(MODEL / "config.json")


def ours(version: str, options: dict[str, Any]) -> str | None:
    of, figures = given()
    lock = lock_for(of, "linux/amd64")
    lock = lock.model_copy(
        update={
            "image": lock.image.model_copy(update={"vllm_version": version}),
            "checkpoint": lock.checkpoint.model_copy(update={"model": figures}),
        }
    )
    try:
        check_options({"port": 8000, "served-model-name": ["tiny"]} | options)
        require_options(of, lock, options)
    except (WrongKeyError, ThorError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", parsers.VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_a_value_is_refused_if_vllm_refuses_it(
    refused: dict[str, dict[str, str | None]], version: str, name: str
) -> None:
    mine, its = ours(version, CASES[name]), refused[version][name]
    assert (mine is None) == (its is None), (mine, its)
