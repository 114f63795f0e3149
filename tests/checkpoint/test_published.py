"""A repaired checkpoint of one's own: published to a mirror, asked for by a profile, locked and rendered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.checkpoint.conftest import MODEL
from tests.checkpoint.quantizer import quantize
from tests.checkpoint.variants import skew
from tests.release.test_lock import HUB, REGISTRY, thorctl
from tests.sim.test_hub_tree import served
from thorctl.checkpoint.manifest import NAME, load
from thorctl.release import lock as locks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.images import RegistryProcess

PROFILE = """\
schema: 1
name: tiny-reconciled
extends: tiny-qwable
description: tiny-qwable with one global scale for gate and up.
checkpoint:
  repository: lab/tiny-reconciled
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "tiny"
    quantize(MODEL, out)
    return out


def test_a_profile_asks_for_a_repaired_checkpoint(
    project: Path, registry: RegistryProcess, written: Path, tmp_path: Path
) -> None:
    mine, tree = tmp_path / "tiny-reconciled", tmp_path / "hub"
    assert thorctl(project, "checkpoint", "repair", str(written), "--out", str(mine)).exit_code == 0
    words = ["checkpoint", "publish", str(mine), "lab/tiny-reconciled", "--tree", str(tree)]
    published = thorctl(project, *words)
    assert published.exit_code == 0
    assert thorctl(project, *words).data == published.data
    (project / "deploy" / "profiles" / "tiny-reconciled.yml").write_text(PROFILE)
    registry.image("thorctl/cpu-vllm", "0.32.0", "amd64")
    with served(tmp_path / "nginx", tree) as address:
        via = ["--via", f"{REGISTRY}={registry.url}", "--via", f"{HUB}={address}"]
        done = thorctl(project, "lock", "tiny-reconciled", "--platform", "linux/amd64", *via)
    assert done.exit_code == 0, done.errors
    locked = locks.load(project / "deploy", "tiny-reconciled").checkpoint
    manifest = load(mine)
    assert manifest is not None
    assert locked.commit == published.data["commit"]
    assert [file for file in locked.files if file.path != NAME] == list(manifest.files)
    assert NAME in {file.path for file in locked.files}
    rendered = thorctl(project, "render", "tiny-reconciled", "--out", str(tmp_path / "preview"))
    assert rendered.exit_code == 0, rendered.errors
    release = json.loads((tmp_path / "preview" / "release.json").read_text())
    assert release["lock"]["checkpoint"]["repository"] == "lab/tiny-reconciled"


def test_what_the_audit_finds_off_is_published_only_if_meant(
    project: Path, written: Path, tmp_path: Path
) -> None:
    skew(written, tmp_path / "skewed")
    words = ["checkpoint", "publish", str(tmp_path / "skewed"), "lab/tiny", "--tree", str(tmp_path / "hub")]
    refused = thorctl(project, *words)
    assert (refused.exit_code, refused.errors[0].code) == (1, "checkpoint_off")
    assert not (tmp_path / "hub").exists()
    assert thorctl(project, *words, "--as-it-is").data["published"] is True


def test_a_file_that_is_not_the_manifests_is_not_published(
    project: Path, written: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    assert thorctl(project, "checkpoint", "repair", str(written), "--out", str(mine)).exit_code == 0
    path = mine / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    words = ["checkpoint", "publish", str(mine), "lab/tiny", "--tree", str(tmp_path / "hub")]
    refused = thorctl(project, *words, "--as-it-is")
    assert (refused.exit_code, refused.errors[0].code) == (1, "checkpoint_damaged")
    assert not (tmp_path / "hub").exists()
