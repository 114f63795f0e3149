"""The playbooks parse, refuse an inventory they cannot use, and keep the options they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
BOOKS = ["site", "preflight", "stage", "activate", "smoke", "rollback"]
TOOL = Path(sys.executable).parent / "ansible-playbook"


def ansible(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    return subprocess.run(
        [str(TOOL), *words],
        cwd=PLAYBOOKS,
        env=environment | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_one_playbook_per_verb() -> None:
    assert sorted(file.stem for file in PLAYBOOKS.glob("*.yml")) == sorted(BOOKS)


@pytest.mark.parametrize("book", BOOKS)
def test_it_parses(book: str) -> None:
    done = ansible("-i", "inventory/example/hosts.yml", "--syntax-check", f"{book}.yml")
    assert done.returncode == 0, done.stderr


def test_a_missing_inventory_is_an_error() -> None:
    done = ansible("-i", "no/such/hosts.yml", "site.yml")
    assert done.returncode != 0
    assert "no/such/hosts.yml" in done.stderr


def test_an_inventory_without_our_group_is_an_error(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {children: {web: {hosts: {www: {}}}}}\n")
    done = ansible("-i", str(inventory), "site.yml")
    assert done.returncode != 0
    assert "thor" in done.stderr


def test_host_keys_are_verified() -> None:
    text = (PLAYBOOKS / "ansible.cfg").read_text()
    assert "host_key_checking = True" in text
    assert "StrictHostKeyChecking=no" not in text + (PLAYBOOKS / "inventory/example/hosts.yml").read_text()
