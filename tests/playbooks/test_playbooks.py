"""The playbooks parse, refuse an inventory they cannot use, and keep the options they promise."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.playbooks.playbook_run import PLAYBOOKS, read_recap, warm_playbook
from thorctl.edge.vaulted import encrypted
from thorctl.inventory import devices as fleet

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

BOOKS = ["site", "preflight", "smoke", "rollback", "bench", "edge"]


def test_there_is_one_playbook_per_verb() -> None:
    assert sorted(file.stem for file in PLAYBOOKS.glob("*.yml")) == sorted(BOOKS)


@pytest.mark.parametrize("book", BOOKS)
def test_it_parses(book: str) -> None:
    done = warm_playbook("-i", "inventory/example/hosts.yml", "--syntax-check", f"{book}.yml")
    assert done.exit_code == 0, done.text


def test_a_missing_inventory_is_an_error() -> None:
    done = warm_playbook("-i", "no/such/hosts.yml", "site.yml")
    assert done.exit_code != 0
    assert "no/such/hosts.yml" in done.text


def test_an_inventory_without_our_group_is_an_error(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {children: {web: {hosts: {www: {}}}}}\n")
    done = warm_playbook("-i", str(inventory), "site.yml")
    assert done.exit_code != 0
    assert "thor" in done.text


def test_an_inventory_may_be_a_folder_with_its_host_keys(tmp_path: Path) -> None:
    mine = shutil.copytree(PLAYBOOKS / "inventory" / "example", tmp_path / "mine")
    (mine / "known_hosts").write_text("192.0.2.11 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n")
    done = warm_playbook("-i", str(mine), "--list-hosts", "site.yml")
    assert done.exit_code == 0, done.text
    assert "thor-berlin-01" in done.text
    assert [device.name for device in fleet.load(mine, config=PLAYBOOKS / "ansible.cfg")] == [
        "thor-berlin-01",
        "thor-oslo-01",
    ]


def test_host_keys_are_verified() -> None:
    text = (PLAYBOOKS / "ansible.cfg").read_text()
    assert "host_key_checking = True" in text
    assert "StrictHostKeyChecking=no" not in text + (PLAYBOOKS / "inventory/example/hosts.yml").read_text()


def test_the_recap_is_read() -> None:
    text = "x : ok=9\nPLAY RECAP ***\nthor-01   : ok=4    changed=1    unreachable=0    failed=0\n"
    assert read_recap(text) == {"thor-01": {"ok": 4, "changed": 1, "unreachable": 0, "failed": 0}}
    assert read_recap("no recap") == {}


@pytest.mark.parametrize("book", ["site", "edge"])
def test_secrets_without_the_vaults_password_end_it_first(book: str, tmp_path: Path) -> None:
    """Before a device is asked for anything, and with the ways to give the password."""
    vaulted = encrypted("key", _password(tmp_path)).replace("\n", "\n          ")
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(f"thor:\n  hosts:\n    thor-01:\n      thor_edge_keys:\n        alice: {vaulted}\n")
    done = warm_playbook("-i", str(inventory), f"{book}.yml")
    assert done.exit_code != 0
    assert "vault_password_missing" in done.text
    assert "--vault-password-file FILE" in " ".join(done.text.split())
    assert (done.total("unreachable"), done.total("ok"), done.total("failed")) == (0, 0, 1)


def test_secrets_with_the_vaults_password_are_read(tmp_path: Path) -> None:
    password = _password(tmp_path)
    vaulted = encrypted("key", password).replace("\n", "\n          ")
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(f"thor:\n  hosts:\n    thor-01:\n      thor_edge_keys:\n        alice: {vaulted}\n")
    done = warm_playbook("-i", str(inventory), "edge.yml", "--vault-password-file", str(password))
    assert "vault_password_missing" not in done.text
    assert done.total("ok") == 1  # the next one needs a profile


def _password(folder: Path) -> Path:
    (folder / "password").write_text("pw\n")
    return folder / "password"
