"""The light engine of container devices: what is pure of its program, its image and its project."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.support.doubles import engine_modes, image_archive, light_image, light_project
from tests.support.doubles.engine_program import LightEngine, options
from thorctl.release.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.doubles.engine import Engine


def control(engine: Engine) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{engine.port}/control", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.parametrize("mode", ["good", "short", "exits", "dies_after:5"])
def test_a_mode_that_there_is(mode: str) -> None:
    assert engine_modes.known(mode) == mode


@pytest.mark.parametrize("mode", ["bad", "good:5", "dies_after", "dies_after:soon", ""])
def test_a_mode_that_there_is_not_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="no mode"):
        engine_modes.known(mode)


def test_only_its_own_number_is_read() -> None:
    assert engine_modes.seconds("dies_after:5", "dies_after") == 5
    assert engine_modes.seconds("dies_after:5", "starts_after") is None


def test_port_and_model_are_those_of_the_rendered_configuration() -> None:
    text = '# vllm\nmodel: "/models/checkpoint"\nport: 8000\nserved-model-name: ["light"]\n'
    assert options(text) == {"model": "/models/checkpoint", "port": 8000, "served-model-name": ["light"]}


def test_the_devices_file_has_the_last_word_on_the_mode_of_the_label_it_names(tmp_path: Path) -> None:
    modes = tmp_path / "modes.json"
    variables = {"ENGINE_LABEL": "new", "ENGINE_MODE": "slow"}
    with LightEngine("light", 0, variables, modes) as engine:
        assert control(engine) == {"model": "light", "label": "new", "mode": "slow"}
        modes.write_text('{"old": "babble"}')
        assert control(engine)["mode"] == "slow"
        modes.write_text('{"new": "babble"}')
        assert control(engine)["mode"] == "babble"
        modes.unlink()
        engine.mode = "good"
        assert control(engine)["mode"] == "good"


def test_its_profile_is_one(tmp_path: Path) -> None:
    document = light_project.profile("light-new", {"ENGINE_MODE": "slow"}, "thorctl/light", "arm64")
    profile = Profile.model_validate(document)
    assert profile.environment["ENGINE_LABEL"] == "light-new"
    assert {prompt["ask"] for prompt in light_project.PROMPTS} == set(light_project.ANSWERS)


def test_the_same_name_gives_the_same_weights_and_another_others(tmp_path: Path) -> None:
    made = {}
    for place in ("one/light", "two/light", "one/other"):
        light_project.make_checkpoint(tmp_path / place, 1)
        made[place] = (tmp_path / place / "model.safetensors").read_bytes()
    assert made["one/light"] == made["two/light"] != made["one/other"]


def test_an_image_says_its_architecture_and_all_its_files_are_roots(tmp_path: Path) -> None:
    root, archive = tmp_path / "root", tmp_path / "image.tar"
    root.mkdir()
    (root / "file").write_text("here")
    image_archive.write(archive, root, "thorctl/x:1-arm64", "arm64", {"Entrypoint": ["/file"]})
    with tarfile.open(archive) as image:
        (listed,) = json.load(image.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(image.extractfile(listed["Config"]) or pytest.fail("no configuration"))
        layer = image.extractfile(listed["Layers"][0]) or pytest.fail("no layer")
        with tarfile.open(fileobj=layer) as files:
            assert {(entry.uid, entry.gid) for entry in files} == {(0, 0)}
            assert "./file" in files.getnames()
    assert (listed["RepoTags"], config["architecture"]) == (["thorctl/x:1-arm64"], "arm64")
    assert config["config"]["Entrypoint"] == ["/file"]


def test_both_architectures_have_tags_of_their_own_and_of_the_same_content() -> None:
    amd64, arm64 = light_image.tag("amd64"), light_image.tag("arm64")
    assert amd64.removesuffix("-amd64") == arm64.removesuffix("-arm64")
