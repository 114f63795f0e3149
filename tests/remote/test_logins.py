"""Logins that ssh has beside keys in files and in an agent: thorctl gets in as well, or names them.

At a terminal thorctl asks for nothing: a passphrase belongs into the agent, a host key is compared first.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect  # type: ignore[import-untyped]  # has no types
import pytest

from tests.remote.world import (
    ANSIBLE_CFG,
    OBEYS,
    OK,
    PATIENCE,
    Row,
    World,
    agent,
    by_ansible,
    by_thorctl,
    load,
)
from tests.support.doubles.sshd import Sshd, make_key, running_sshd
from thorctl.doctor.inventory import checks
from thorctl.remote import other_logins

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"
WAIT_SECONDS = 60.0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[World]:
    """A device whose own key lets in, a key with a passphrase and one that nobody knows."""
    (tmp_path / "d").mkdir()
    make_key(tmp_path / "stranger")
    make_key(tmp_path / "locked")
    with running_sshd(tmp_path / "d") as device:
        device.behave(OBEYS)
        allow(device, (tmp_path / "locked.pub").read_text())
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", str(tmp_path / "locked")], check=True)
        (tmp_path / "vault-password").write_text("pw\n")
        (tmp_path / "ansible.cfg").write_text(
            ANSIBLE_CFG.format(python=sys.executable, folder=tmp_path, patience=PATIENCE)
        )
        words = {"folder": str(tmp_path), "key": str(device.key), "known": str(device.known_hosts)}
        yield World(tmp_path, device, device, words)


def allow(device: Sshd, key: str) -> None:
    with (device.key.parent / "authorized_keys").open("a") as file:
        file.write(f"{key.strip()}\n")


def row(name: str, key: str, words: str = "-o IdentitiesOnly=yes", known: str = "{known}") -> Row:
    trust = f"-F none -o UserKnownHostsFile={known}"
    variables: dict[str, Any] = {
        "ansible_ssh_private_key_file": key,
        "ansible_ssh_common_args": f"{trust} {words}",
    }
    return Row(name, variables=variables)


def outcome(machine: World, *rows: Row) -> dict[str, tuple[str, bool]]:
    """Host -> thorctl's answer, and whether Ansible's ssh gets in."""
    inventory = machine.inventory(rows)
    ansible = by_ansible(machine, inventory)
    return {name: (code, ansible[name]) for name, code in by_thorctl(load(machine, inventory)).items()}


def warned(machine: World, one: Row) -> str:
    """What doctor says of the logins, before a device is asked."""
    inventory = machine.inventory([one])
    found = [check for check in checks(inventory, load(machine, inventory), DEPLOY) if check.name == "logins"]
    assert all(check.status == "warn" and check.remedy for check in found)
    return " ".join(check.found for check in found)


def test_an_open_connection_of_ssh_is_named_and_not_used(machine: World) -> None:
    path = machine.folder / "master"
    stranger = row("stranger", "{folder}/stranger", f"-o IdentitiesOnly=yes -o ControlPath={path}")
    right = row("right", "{key}", f"-o ControlPath={path}")
    words = ["ssh", "-F", "none", "-M", "-N", "-S", str(path), "-p", str(machine.device.port)]
    words += ["-o", f"UserKnownHostsFile={machine.device.known_hosts}", "-i", str(machine.device.key)]
    with subprocess.Popen([*words, f"{machine.device.user}@127.0.0.1"]) as master:
        try:
            await_path(path)
            assert outcome(machine, stranger, right) == {
                "stranger": ("login_not_followed", True),
                "right": (OK, True),
            }
            assert f"the open connection of ControlPath {path}" in warned(machine, stranger)
        finally:
            master.kill()
    assert path.exists()  # nobody listens there any more
    path.unlink()
    assert warned(machine, stranger) == ""
    assert outcome(machine, stranger, right) == {"stranger": ("auth_failed", False), "right": (OK, True)}


def test_a_socket_that_a_dead_ssh_has_left_keeps_nobody_out(machine: World) -> None:
    path = machine.folder / "master"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    right = row("right", "{key}", f"-o ControlPath={path} -o ControlMaster=auto -o ControlPersist=1s")
    assert outcome(machine, right) == {"right": (OK, True)}


def await_path(path: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_a_terminal(machine: World, one: Row) -> tuple[int | None, str]:
    """``thorctl status`` with a person before it who says nothing: exit code, all that is shown."""
    tool = str(Path(sys.executable).with_name("thorctl"))
    words = ["-i", str(machine.inventory([one])), "status"]
    child = pexpect.spawn(
        tool, words, cwd=str(machine.folder), encoding="utf-8", timeout=WAIT_SECONDS, dimensions=(50, 200)
    )
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before


def test_at_a_terminal_no_passphrase_is_asked_for(machine: World) -> None:
    """Fifty devices are asked at once; ssh, which asks, reaches one."""
    code, shown = at_a_terminal(machine, row("locked", "{folder}/locked", "-o IdentityAgent=none"))
    assert code == 1
    assert "key_unreadable" in shown
    assert "ssh-add" in shown
    assert "Enter passphrase" not in shown


def test_at_a_terminal_an_unknown_host_key_is_refused_and_not_recorded(machine: World) -> None:
    known = machine.folder / "known"
    known.write_text("")
    code, shown = at_a_terminal(machine, row("new", "{key}", known=str(known)))
    assert code == 1
    assert "host_key_unknown" in shown
    assert "ssh-keyscan" in shown
    assert "yes/no" not in shown
    assert known.read_text() == ""


def test_a_passphrase_that_the_agent_knows_is_not_needed(machine: World) -> None:
    one = row("locked", "{folder}/locked")
    with agent(machine.folder) as held:
        assert outcome(machine, one) == {"locked": ("key_unreadable", False)}
        add(machine.folder, held, "phrase", str(machine.folder / "locked"))
        assert outcome(machine, one) == {"locked": (OK, True)}


def add(folder: Path, held: dict[str, str], secret: str, *words: str) -> None:
    """``ssh-add``, which asks for a passphrase or a PIN."""
    asks = folder / "asks"
    asks.write_text(f"#!/bin/sh\necho {secret}\n")
    asks.chmod(0o755)
    environment = {**os.environ, **held, "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", *words], env=environment, stdin=subprocess.DEVNULL, check=True)


@pytest.mark.long
def test_the_keys_of_a_token_are_used_from_the_agent(machine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """login_not_followed: ssh uses the token itself, thorctl does so after `ssh-add -s`."""
    tokens = machine.folder / "tokens"
    tokens.mkdir()
    (machine.folder / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(machine.folder / "softhsm2.conf"))
    init = ["softhsm2-util", "--init-token", "--free", "--label", "t", "--pin", PIN, "--so-pin", PIN]
    make = ["pkcs11-tool", "--module", str(SOFTHSM), "--login", "--pin", PIN, "--keypairgen", "--id", "01"]
    for words in (init, [*make, "--key-type", "EC:prime256v1", "--label", "k"]):
        subprocess.run(words, check=True, capture_output=True)
    key = subprocess.run(["ssh-keygen", "-D", str(SOFTHSM)], capture_output=True, text=True, check=True)
    allow(machine.device, key.stdout.splitlines()[0])
    (machine.folder / "asks").write_text(f"#!/bin/sh\necho {PIN}\n")
    (machine.folder / "asks").chmod(0o755)
    one = row("token", "{folder}/stranger", f"-o PKCS11Provider={SOFTHSM}")
    with agent(machine.folder) as held:
        with monkeypatch.context() as asked:  # as a person would who knows the PIN
            asked.setenv("SSH_ASKPASS", str(machine.folder / "asks"))
            asked.setenv("SSH_ASKPASS_REQUIRE", "force")
            assert outcome(machine, one) == {"token": ("login_not_followed", True)}
        assert f"pkcs11provider {SOFTHSM}" in warned(machine, one)
        add(machine.folder, held, PIN, "-s", str(SOFTHSM))
        other = row("token", "", "-o PreferredAuthentications=publickey")
        assert outcome(machine, other) == {"token": (OK, True)}


def test_a_kerberos_login_is_named_only_with_a_ticket(
    machine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's ssh_config has GSSAPIAuthentication for all: alone it says nothing."""
    one = row("gss", "{folder}/stranger", "-o GSSAPIAuthentication=yes")
    for ticket, code in ((False, "auth_failed"), (True, "login_not_followed")):
        monkeypatch.setattr(other_logins, "_has_ticket", lambda ticket=ticket: ticket)
        assert outcome(machine, one) == {"gss": (code, False)}
        assert ("gssapiauthentication" in warned(machine, one)) is ticket
