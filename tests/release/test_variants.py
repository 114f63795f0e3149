"""Variants of a profile: `extends`, switches, and the files that run inside the engine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.support.documents import changed, lock_for, release_of
from thorctl.errors import ThorError
from thorctl.release import device_class, profile
from thorctl.release.extends import merged
from thorctl.release.render import render_release
from thorctl.release.switches import OPTIONS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    folder = tmp_path / "deploy"
    for part in ("profiles", "templates", "device_classes", "engine"):
        shutil.copytree(DEPLOY / part, folder / part)
    return folder


def write(deploy: Path, name: str, text: str) -> None:
    (deploy / "profiles" / f"{name}.yml").write_text(f"schema: 1\nname: {name}\ndescription: One.\n{text}")


def test_a_variant_is_its_base_with_what_it_says() -> None:
    base, variant = (profile.load(DEPLOY, name) for name in ("qwable-v1-nvfp4a16", "qwable-v1-bf16"))
    assert variant.checkpoint.repository == "lordx64/Qwable-v1"
    assert {**variant.serve, "served-model-name": None} == {**base.serve, "served-model-name": None}
    assert (variant.smoke, variant.environment, variant.image) == (base.smoke, base.environment, base.image)


def test_the_upstream_image_keeps_its_own_entrypoint() -> None:
    assert profile.load(DEPLOY, "qwable-v1-nvfp4a16-upstream").image.entrypoint == ()


def test_null_takes_a_key_away_and_lists_are_replaced(deploy: Path) -> None:
    write(deploy, "b", "extends: tiny-qwable\nserve: {enforce-eager: null, served-model-name: [b]}\n")
    write(deploy, "c", "extends: b\nserve: {max-num-seqs: 2}\n")
    found = profile.load(deploy, "c")
    assert "enforce-eager" not in found.serve
    assert found.serve["served-model-name"] == ["b"]
    assert found.serve["max-num-seqs"] == 2


def test_merging_changes_neither_side() -> None:
    below: dict[str, Any] = {"a": {"b": 1}}
    above: dict[str, Any] = {"a": {"c": 2}}
    assert merged(below, above) == {"a": {"b": 1, "c": 2}}
    assert (below, above) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("extends: tiny-quable\n", r"b\.yml:4: extends: there is no profile 'tiny-quable'\. Did you mean"),
        ("extends: b\n", "extends has a cycle: b → b"),
        ("extends: [tiny-qwable]\n", "there is no profile"),
        ("extends: tiny-qwable\nserve: {prot: 1, port: null}\n", r"b\.yml:5: serve: 'port' is required"),
        ("extends: tiny-qwable\nswitches: {mpt: true}\n", "Did you mean 'mtp'"),
    ],
)
def test_a_mistake_is_named_in_the_variants_file(deploy: Path, text: str, sentence: str) -> None:
    write(deploy, "b", text)
    with pytest.raises(ThorError, match=sentence) as caught:
        profile.load(deploy, "b")
    assert caught.value.code == "profile_invalid"


@pytest.mark.parametrize("switch", OPTIONS)
def test_a_switch_sets_all_that_it_needs(switch: str) -> None:
    of = changed(profile.load(DEPLOY, "qwable-v1-nvfp4a16"), switches={switch: True})
    thor = device_class.load(DEPLOY, "jetson-agx-thor")
    release = render_release(of, lock_for(of, "linux/arm64"), thor, DEPLOY / "templates")
    served = yaml.safe_load(release.files["serve.yaml"].content)
    sized = {key: served.pop(key) for key in ("kv-cache-memory-bytes", "gpu-memory-utilization")}
    given = {key: value for key, value in of.serve.items() if key != "port"}
    every = {"model": "/models/checkpoint", "uds": "/run/engine/engine.sock", "shutdown-timeout": 60}
    assert served == every | given | OPTIONS[switch]
    assert sized["kv-cache-memory-bytes"] > 2**30


def test_a_switch_and_an_option_that_contradict_each_other() -> None:
    of = profile.load(DEPLOY, "qwable-v1-nvfp4a16")
    with pytest.raises(ValidationError, match="set by the switch 'fp8_kv_cache'"):
        changed(of, switches={"fp8_kv_cache": True}, serve={**of.serve, "kv-cache-dtype": "auto"})


def test_engine_files_become_files_of_the_release(deploy: Path) -> None:
    before = release_of(deploy)
    (deploy / "engine" / "chat.jinja").write_text("{{ messages }}\n")
    of = profile.load(deploy, "tiny-qwable")
    of = changed(
        of,
        engine_files=[*of.engine_files, "chat.jinja"],
        serve={**of.serve, "chat-template": "/etc/thor-engine/chat.jinja"},
    )
    release = render_release(
        of, lock_for(of), device_class.load(deploy, "simulated-container"), deploy / "templates"
    )
    assert release.files["chat.jinja"].content == "{{ messages }}\n"
    assert release.id != before.id


def test_an_engine_file_that_is_not_there(deploy: Path) -> None:
    of = profile.load(deploy, "tiny-qwable")
    of = changed(of, engine_files=[*of.engine_files, "chat.jinja"])
    with pytest.raises(ThorError) as caught:
        render_release(
            of, lock_for(of), device_class.load(deploy, "simulated-container"), deploy / "templates"
        )
    assert caught.value.code == "engine_file_missing"


def test_an_option_that_names_a_file_the_release_has_not() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    with pytest.raises(ValidationError, match=r"'gone\.jinja' is not in engine_files"):
        changed(of, serve={**of.serve, "chat-template": "/etc/thor-engine/gone.jinja"})


@pytest.mark.parametrize("names", [["serve.yaml"], ["release.json"], ["a.py", "a.py"], ["../a"]])
def test_engine_files_have_names_of_their_own(names: list[str]) -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    with pytest.raises(ValidationError, match=r"is the name of another file|should match pattern"):
        changed(of, engine_files=[*of.engine_files, *names])
