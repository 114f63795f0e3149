"""`thorctl init`: what it writes, what it keeps, what it refuses."""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.simulated import CHECKOUT
from thorctl import project
from thorctl.cli.main import run
from thorctl.inventory import devices as fleet
from thorctl.onboarding import init
from thorctl.release import profile

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    ".gitignore",
    "README.md",
    "ansible.cfg",
    "deploy/profiles/fleet.yml",
    "inventory/group_vars/thor.yml",
    "inventory/hosts.yml",
    "site.yml",
}
HOST = "      hosts: {thor-01: {ansible_host: 192.0.2.1}}\n"


def made(folder: Path, *options: str) -> dict[str, Any]:
    result = run(["init", str(folder), *options])
    assert result is not None
    assert not result.errors
    return result.data


def refused(folder: Path) -> str:
    result = run(["init", str(folder)])
    assert result is not None
    assert result.exit_code == 2
    (problem,) = result.errors
    return f"{problem.code}: {problem.message}"


def held(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_new_folder_becomes_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    data = made(folder)
    assert held(folder) == FILES == set(data["written"])
    assert data["kept"] == []
    assert project.find(folder / "inventory") == folder
    loaded = profile.load(folder / "deploy", init.NAME)
    assert loaded.checkpoint == profile.load(CHECKOUT / "deploy", init.EXTENDS).checkpoint


def test_no_placeholder_is_left_and_the_readme_names_the_next_commands(tmp_path: Path) -> None:
    made(tmp_path)
    texts = {path: (tmp_path / path).read_text() for path in FILES}
    assert not [path for path, text in texts.items() if "__" in text.replace("__pycache__", "")]
    assert all(f"    {command} " in texts["README.md"] for command in init.NEXT)


def test_inventory_takes_a_device(tmp_path: Path) -> None:
    made(tmp_path, "--extends", "tiny-qwable")
    hosts = tmp_path / "inventory" / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("      hosts: {}\n", HOST))
    (device,) = fleet.load(hosts.parent, None, tmp_path / "ansible.cfg")
    assert (device.name, device.host) == ("thor-01", "192.0.2.1")
    assert (device.profile, device.device_class) == (init.NAME, "simulated-container")
    assert device.known_hosts == tmp_path / "inventory" / "known_hosts"


def test_settings_are_the_shipped_ones_but_for_the_folders_of_a_checkout(tmp_path: Path) -> None:
    made(tmp_path)
    ours, shipped = (configparser.ConfigParser(interpolation=None) for _ in range(2))
    ours.read(tmp_path / "ansible.cfg")
    shipped.read(CHECKOUT / "playbooks" / "ansible.cfg")
    folders = {"roles_path", "library", "action_plugins", "lookup_plugins", "filter_plugins"}
    assert folders <= set(shipped["defaults"])
    wanted = {section: dict(shipped[section]) for section in shipped.sections()}
    wanted["defaults"] = {key: value for key, value in wanted["defaults"].items() if key not in folders}
    wanted["defaults"]["inventory"] = "inventory"
    assert {section: dict(ours[section]) for section in ours.sections()} == wanted


def test_project_gets_what_it_lacks_and_keeps_what_it_has(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "inventory" / "hosts.yml").write_text("mine\n")
    (tmp_path / "notes.txt").write_text("mine\n")
    (tmp_path / "site.yml").unlink()
    assert made(tmp_path, "--dry-run")["written"] == ["site.yml"]
    assert not (tmp_path / "site.yml").exists()
    data = made(tmp_path)
    assert data["written"] == ["site.yml"]
    assert set(data["kept"]) == FILES - {"site.yml"}
    assert (tmp_path / "inventory" / "hosts.yml").read_text() == "mine\n"


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert set(made(folder, "--dry-run")["written"]) == FILES
    assert not folder.exists()


def test_interrupted_init_is_completed(tmp_path: Path) -> None:
    plan = init.plan(tmp_path, init.EXTENDS)
    init.write(init.Plan(tmp_path, {"ansible.cfg": plan.write["ansible.cfg"]}, ()))
    assert set(made(tmp_path)["written"]) == FILES - {"ansible.cfg"}


def test_folder_with_other_files_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    (tmp_path / ".git").mkdir()
    said = refused(tmp_path)
    assert said == f"folder_not_empty: {tmp_path} is not empty and not a project: it has thesis.tex."
    assert held(tmp_path) == {"thesis.tex"}


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").startswith("folder_unusable: ")


def test_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    result = run(["init", str(tmp_path / "new"), "--extends", "qwable"])
    assert result is not None
    assert result.errors[0].code == "profile_unknown"
    assert init.EXTENDS in result.errors[0].remedy


@pytest.mark.parametrize("path", sorted(FILES))
def test_written_files_end_with_a_newline(tmp_path: Path, path: str) -> None:
    assert init.files(init.EXTENDS)[path].endswith("\n")
