"""Passwords of logins and of sudo: used as Ansible uses them, and seen by nobody else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.world import ANSIBLE_CFG, OK, PATIENCE, World, by_ansible, by_thorctl, load
from tests.support.doubles.account import PASSWORD, USER, Account, account
from tests.support.doubles.sshd import make_key
from thorctl.inventory import devices as fleet
from thorctl.remote import agent_call
from thorctl.remote.agent_call import run_verb

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

SECRET = "of sudo, 'quoted' $HOME"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("account")
    with account(folder, make_key(folder / "id")) as one:
        yield one


class Place(World):
    """Where an inventory is asked; the machines of the table are not needed."""

    def __init__(self, folder: Path) -> None:
        object.__setattr__(self, "folder", folder)


def write(machine: Account, folder: Path, **hosts: dict[str, Any]) -> Path:
    """An inventory whose hosts are all the machine."""
    (folder / "ansible.cfg").write_text(
        ANSIBLE_CFG.format(python=sys.executable, folder=folder, patience=PATIENCE)
    )
    (folder / "vault-password").write_text("pw\n")
    (folder / "known").write_text(f"[127.0.0.1]:{machine.port} {machine.host_key}\n")
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": machine.port,
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(machine.folder / "id"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={folder}/known -o IdentityAgent=none",
        "ansible_become": True,
        "ansible_become_exe": str(machine.sudo),
    }
    path = folder / "hosts.json"
    path.write_text(json.dumps({"thor": {"vars": variables, "hosts": hosts}}))
    return path


def vaulted(folder: Path, text: str) -> dict[str, str]:
    """The text as ``!vault`` has it, in JSON."""
    (folder / "plain").write_text(text)
    tool = Path(sys.executable).with_name("ansible-vault")
    (folder / "pw").write_text("pw\n")
    words = [
        str(tool),
        "encrypt",
        "--vault-password-file",
        str(folder / "pw"),
        "--output",
        "-",
        str(folder / "plain"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {"__ansible_vault": done.stdout}


def outcome(inventory: Path) -> dict[str, tuple[str, bool]]:
    place = Place(inventory.parent)
    ours, ansible = by_thorctl(load(place, inventory)), by_ansible(place, inventory)
    return {name: (code, ansible[name]) for name, code in ours.items()}


def test_a_sudo_that_asks_is_answered_as_ansible_answers_it(machine: Account, tmp_path: Path) -> None:
    machine.sudo_asks(SECRET)
    inventory = write(
        machine,
        tmp_path,
        none={},
        right={"ansible_become_password": SECRET},
        old={"ansible_sudo_pass": SECRET},
        vault={"ansible_become_password": vaulted(tmp_path, SECRET)},
        flags={"ansible_become_password": SECRET, "ansible_become_flags": "-H -S"},
        user={"ansible_become_password": SECRET, "ansible_become_user": "daemon"},
    )
    assert outcome(inventory) == {
        "none": ("strange: '' 'sudo: a password is required\\n'", False),
        "right": (OK, True),
        "old": (OK, True),
        "vault": (OK, True),
        "flags": (OK, True),
        "user": ("connection_not_followed", True),
    }


def test_another_way_to_become_root_is_refused_unless_the_login_is_root(
    machine: Account, tmp_path: Path
) -> None:
    other = {"ansible_become_method": "su"}
    inventory = write(
        machine,
        tmp_path,
        su=other,
        root=other | {"ansible_user": "root"},
        flags={"ansible_become_flags": "-u x"},
    )
    codes = {"su": "connection_not_followed", "root": "auth_failed", "flags": "connection_not_followed"}
    assert by_thorctl(load(Place(tmp_path), inventory)) == codes


def test_a_wrong_password_is_tried_once(machine: Account, tmp_path: Path) -> None:
    machine.sudo_asks(SECRET)
    inventory = write(machine, tmp_path, wrong={"ansible_become_password": "wrong"})
    (answer,) = run_verb(fleet.load(inventory), "status")
    assert answer.error
    assert (answer.error.code, answer.error.device) == ("sudo_password", "wrong")
    assert "wrong" not in answer.error.message + answer.error.remedy
    assert machine.tries == 1


@pytest.mark.parametrize("asks", ["", SECRET], ids=["no-password-wanted", "password-wanted"])
def test_the_verbs_input_is_whole_and_holds_no_password(
    machine: Account, tmp_path: Path, asks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sudo_asks(asks)
    agent = tmp_path / "agent"
    envelope = {"schema": 1, "verb": "stage", "ok": True, "changed": False, "error": None}
    agent.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"print(json.dumps({envelope!r} | {{'data': {{'got': sys.stdin.read(), 'words': sys.argv[1:],"
        " 'env': str(dict(os.environ))}}))"
    )
    agent.chmod(0o755)
    monkeypatch.setattr(agent_call, "AGENT", str(agent))
    (device,) = fleet.load(write(machine, tmp_path, one={"ansible_become_password": SECRET}))
    heard: list[str] = []
    (answer,) = run_verb([device], "stage", ["-"], stdin="a\nb", on_line=lambda _, line: heard.append(line))
    assert answer.ok, answer.error
    assert (answer.data["got"], answer.data["words"]) == ("a\nb", ["stage", "-"])
    assert SECRET not in answer.data["env"]
    assert heard == []
    assert SECRET not in repr(device)


def test_a_vault_without_its_password_fails_only_whoever_needs_it(machine: Account, tmp_path: Path) -> None:
    machine.sudo_asks(SECRET)
    secret = vaulted(tmp_path, SECRET)
    inventory = write(
        machine,
        tmp_path,
        locked={"ansible_become_password": secret},
        open={"ansible_become_password": SECRET},
    )
    config = tmp_path / "ansible.cfg"
    config.write_text("".join(line for line in config.open() if "vault" not in line))
    assert by_thorctl(load(Place(tmp_path), inventory)) == {"locked": "inventory_invalid", "open": OK}


def test_a_login_by_password(machine: Account, tmp_path: Path) -> None:
    machine.sudo_asks("")
    no_key = {"ansible_ssh_private_key_file": "", "ansible_ssh_extra_args": "-o IdentityFile=none"}
    inventory = write(
        machine,
        tmp_path,
        none=no_key,
        right=no_key | {"ansible_password": PASSWORD},
        old=no_key | {"ansible_ssh_pass": PASSWORD},
        vault=no_key | {"ansible_password": vaulted(tmp_path, PASSWORD)},
        wrong=no_key | {"ansible_password": "wrong"},
    )
    assert outcome(inventory) == {
        "none": ("auth_failed", False),
        "right": (OK, True),
        "old": (OK, True),
        "vault": (OK, True),
        "wrong": ("auth_failed", False),
    }


def test_a_jump_host_is_not_offered_the_devices_password(machine: Account, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"UserKnownHostsFile {tmp_path}/known\nIdentityAgent none\nIdentityFile none\n")
    hop = f"-F {config} -J {USER}@127.0.0.1:{machine.port}"
    path = write(machine, tmp_path, one={"ansible_password": PASSWORD, "ansible_ssh_common_args": hop})
    (device,) = fleet.load(path)
    machine.offered.clear()
    (answer,) = run_verb([dataclasses.replace(device, port=22)], "status")
    assert answer.error
    assert (answer.error.code, "the jump host" in answer.error.message) == ("auth_failed", True)
    assert machine.offered == []
