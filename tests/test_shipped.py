"""Which file counts: the project's own, else the one that comes with thorctl."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.documents import lock_for, release_of
from tests.support.simulated import CHECKOUT
from thorctl import __version__, project, shipped
from thorctl.errors import ThorError
from thorctl.registry import resolve
from thorctl.release import device_class, profile
from thorctl.release import find as releases
from thorctl.release import lock as locks
from thorctl.rollout import policy_file

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = CHECKOUT / "deploy"


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """deploy/ of a project that has no file yet."""
    folder = tmp_path / "deploy"
    (folder / "profiles").mkdir(parents=True)
    return folder


def test_checkout_ships_its_own_folders() -> None:
    assert shipped.is_checkout()
    assert shipped.folder("deploy") == SHIPPED
    assert shipped.playbooks() == CHECKOUT / "playbooks"


def test_empty_project_has_what_is_shipped(deploy: Path) -> None:
    assert profile.names(deploy) == profile.names(SHIPPED)
    assert device_class.names(deploy) == device_class.names(SHIPPED)
    assert policy_file.load(deploy, "careful") == policy_file.load(SHIPPED, "careful")
    assert release_of(deploy) == release_of(SHIPPED)


def test_own_profile_extends_a_shipped_one(deploy: Path) -> None:
    text = "schema: 1\nname: ours\nextends: tiny-qwable\ndescription: Ours.\nserve: {max-num-seqs: 2}\n"
    (deploy / "profiles" / "ours.yml").write_text(text)
    found = profile.load(deploy, "ours")
    assert found.serve == {**profile.load(SHIPPED, "tiny-qwable").serve, "max-num-seqs": 2}
    assert shipped.own_names(deploy, "profiles") == ["ours"]


@pytest.mark.parametrize(
    ("part", "file"), [("templates", "engine.env.j2"), ("engine", "qwable_chat_template.jinja")]
)
def test_own_file_counts_before_the_shipped_one(deploy: Path, part: str, file: str) -> None:
    (deploy / part).mkdir()
    (deploy / part / file).write_text("# ours\n")
    rendered = release_of(deploy).files[file.removesuffix(".j2")].content
    assert rendered == "# ours\n"
    assert release_of(deploy).id != release_of(SHIPPED).id


def test_lock_of_own_profile_is_never_the_shipped_one(
    deploy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ships = tmp_path / "ships"
    shutil.copytree(SHIPPED, ships, ignore=shutil.ignore_patterns("locks"))
    monkeypatch.setattr(shipped, "folder", lambda _: ships)
    of = profile.load(deploy, "tiny-qwable")
    resolve.write(locks.path_of(ships, of.name), lock_for(of))
    assert releases.build(deploy, of.name).lock == locks.load(ships, of.name)
    shutil.copy(ships / "profiles" / "tiny-qwable.yml", deploy / "profiles")
    with pytest.raises(ThorError) as caught:
        locks.load(deploy, of.name)
    assert caught.value.code == "lock_missing"
    assert str(locks.path_of(deploy, of.name)) in caught.value.message


def test_project_is_the_nearest_above(deploy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = deploy / "profiles"
    assert project.find(below) == deploy.parent
    monkeypatch.chdir(below)
    assert project.current() == deploy.parent
    monkeypatch.setenv(project.VARIABLE, str(CHECKOUT))
    assert project.current() == CHECKOUT


def test_no_project_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.find(tmp_path) == CHECKOUT
    monkeypatch.setattr(shipped, "is_checkout", lambda: False)
    with pytest.raises(ThorError) as caught:
        project.find(tmp_path)
    assert caught.value.code == "project_not_found"
    assert "thorctl init" in caught.value.remedy


def test_collection_has_the_version_of_the_package() -> None:
    galaxy = yaml.safe_load((CHECKOUT / shipped.COLLECTION / "galaxy.yml").read_text())
    assert (galaxy["namespace"], galaxy["name"], galaxy["version"]) == ("thorctl", "thor", __version__)
