"""Ansible asks for the vault's password: at a terminal it is answered, without one the way out is named."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_process import HOSTS, VAULTED

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # starts Ansible

CONFIGS = {"ask": "ask_vault_pass = True", "identity": "vault_identity_list = prod@prompt"}
LOAD = """
import sys
from pathlib import Path
from thorctl.errors import ThorError
from thorctl.inventory import devices
try:
    print("devices:", *(one.name for one in devices.load(Path(sys.argv[1]))))
except ThorError as error:
    print(error.code, error.remedy)
"""


@pytest.fixture(params=[*CONFIGS.values()], ids=[*CONFIGS])
def call(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """A call that reads an inventory with a vaulted file, and its environment."""
    secrets = tmp_path / "group_vars" / "thor" / "secrets.yml"
    secrets.parent.mkdir(parents=True)
    secrets.write_text(VAULTED)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    (tmp_path / "password").write_text("pw\n")
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\n{request.param}\n")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    return [sys.executable, "-c", LOAD, str(tmp_path / "hosts.yml")], environment


def without_terminal(call: tuple[list[str], dict[str, str]], **more: str) -> str:
    words, environment = call
    return subprocess.run(
        words,
        env=environment | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    ).stdout


def test_without_a_terminal_the_file_is_named(call: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    said = without_terminal(call)
    assert said.startswith("vault_password_missing")
    assert "ANSIBLE_VAULT_PASSWORD_FILE=FILE with ANSIBLE_ASK_VAULT_PASS=false" in said
    (tmp_path / "ansible.cfg").write_text("[defaults]\nask_vault_pass = True\n")
    given = {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password"), "ANSIBLE_ASK_VAULT_PASS": "false"}
    assert without_terminal(call, **given) == "devices: thor-01\n"


def test_at_a_terminal_the_answer_is_used(call: tuple[list[str], dict[str, str]]) -> None:
    words, environment = call
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - another process
        os.execve(words[0], words, environment)  # noqa: S606 - this very Python
    said = b""
    answered = False
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
            if not answered and b"Vault password" in said:
                os.write(terminal, b"pw\n")
                answered = True
    except OSError:  # the end of a terminal on Linux
        pass
    os.waitpid(child, 0)
    assert answered
    assert b"devices: thor-01" in said, said
