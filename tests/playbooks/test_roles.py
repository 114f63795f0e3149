"""Every role says in one place what it takes, and in two what it assumes; the two must not differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
ROLES = sorted((PLAYBOOKS / "roles").iterdir())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tasks_of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        found.append(entry)
        for part in ("block", "rescue", "always"):
            found += tasks_of(entry.get(part) or [])
    return found


def test_these_are_the_roles() -> None:
    assert [role.name for role in ROLES] == [
        "thor_artifacts",
        "thor_door",
        "thor_edge",
        "thor_host",
        "thor_nginx",
        "thor_preflight",
        "thor_runtime",
        "thor_service",
        "thor_smoke",
        "thor_storage",
        "thor_time",
    ]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_the_manual_equals_the_defaults(self, role: Path) -> None:
        options = read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        assert {name: option["default"] for name, option in options.items()} == read(
            role / "defaults" / "main.yml"
        )

    def test_each_option_has_a_type_and_a_description(self, role: Path) -> None:
        options = read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        for name, option in options.items():
            assert option["type"], name
            assert option["description"], name

    def test_variables_carry_the_role_s_name(self, role: Path) -> None:
        variables = read(role / "defaults" / "main.yml")
        if (role / "vars" / "main.yml").exists():
            assert all(name.startswith(f"__{role.name}_") for name in read(role / "vars" / "main.yml"))
        assert all(name.startswith(f"{role.name}_") for name in variables)

    def test_main_is_a_table_of_contents(self, role: Path) -> None:
        for task in read(role / "tasks" / "main.yml"):
            assert set(task) == {"name", "ansible.builtin.import_tasks", "tags"}
            assert task["tags"][0] == role.name
            assert all(tag.startswith(role.name) for tag in task["tags"])

    def test_registered_names_are_internal(self, role: Path) -> None:
        for file in (role / "tasks").glob("*.yml"):
            for task in tasks_of(read(file)):
                assert task.get("register", f"__{role.name}").startswith(f"__{role.name}"), task["name"]

    def test_its_readme_names_every_option(self, role: Path) -> None:
        text = (role / "README.md").read_text(encoding="utf-8")
        told = set(re.findall(rf"^\| `({role.name}_\w+)` \|", text, re.MULTILINE))
        assert told == set(read(role / "defaults" / "main.yml"))


def apt_tasks() -> list[tuple[str, dict[str, Any]]]:
    return [
        (file.parts[-3], task)
        for role in ROLES
        for file in (role / "tasks").glob("*.yml")
        for task in tasks_of(read(file))
        if "ansible.builtin.apt" in task
    ]


def test_apt_waits_for_its_locks_and_changes_no_more_than_it_is_told() -> None:
    assert {role for role, _ in apt_tasks()} == {"thor_nginx", "thor_runtime"}
    for role, task in apt_tasks():
        apt = task["ansible.builtin.apt"]
        assert apt["lock_timeout"] == 600, (role, task["name"])
        assert apt.get("state", "present") == "present"
        assert not {"upgrade", "autoremove", "allow_change_held_packages"} & set(apt)
        if "name" in apt:
            assert apt["install_recommends"] is False
            environment = task["environment"]
            if isinstance(environment, str):
                environment = read(PLAYBOOKS / "roles" / role / "vars" / "main.yml")[environment.strip("{} ")]
            assert environment == {"NEEDRESTART_SUSPEND": "1"}


def test_package_lists_that_cannot_be_renewed_end_no_run() -> None:
    for role in ROLES:
        for file in (role / "tasks").glob("*.yml"):
            blocks = [entry for entry in read(file) if "rescue" in entry]
            rescued = [task for entry in blocks for task in tasks_of(entry["block"])]
            renewing = [
                task
                for task in tasks_of(read(file))
                if task.get("ansible.builtin.apt", {}).get("update_cache")
            ]
            assert [task for task in renewing if task not in rescued] == []


def test_packages_are_installed_before_the_release() -> None:
    """After the commit a run has no reason left to fail on a package source."""
    (play,) = read(PLAYBOOKS / "site.yml")
    order = [
        task["ansible.builtin.import_role"]["name"]
        for task in tasks_of(play["tasks"])
        if "ansible.builtin.import_role" in task
    ]
    met: list[str] = []
    for role in order:
        needed = [
            one["role"] for one in read(PLAYBOOKS / "roles" / role / "meta" / "main.yml")["dependencies"]
        ]
        met += [one for one in (*needed, role) if one not in met]
    release = met.index("thor_artifacts")
    assert [role for role, _ in apt_tasks() if met.index(role) > release] == []
