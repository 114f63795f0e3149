"""A real sshd on a loopback port, with its own host key, for one test session.

Real: protocol, keys, forwarding, exit codes. Chosen by the test: what runs instead of the agent
(ForceCommand), since misbehaviour is needed on demand.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running sshd.

    Attributes:
        port: on 127.0.0.1.
        user: who may log in.
        key: the private key that lets them in.
        known_hosts: the file that names this sshd's host key.
        command: the file whose content (Python) answers every command; write it before connecting.
        asked: the last command line it was given.
        log: what it logs.
        pid: of the process that listens.
    """

    port: int
    user: str
    key: Path
    known_hosts: Path
    command: Path
    asked: Path
    log: Path
    pid: int

    def inventory(self, file: Path, *names: str, **variables: str) -> Path:
        """Writes an Ansible inventory in which every name is this sshd."""
        lines = ["thor:", "  vars:"]
        given = {
            "ansible_host": "127.0.0.1",
            "ansible_port": str(self.port),
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": str(self.key),
            "thor_known_hosts_file": str(self.known_hosts),
            "thor_site": "lab",
        }
        lines += [f"    {key}: {json.dumps(value)}" for key, value in (given | variables).items()]
        lines += ["  hosts:", *(f"    {name}:" for name in names)]
        file.write_text("\n".join(lines) + "\n")
        return file

    def behave(self, python: str) -> None:
        """From now on every command runs ``python`` instead."""
        self.command.write_text(python)


def make_key(path: Path, kind: str = "ed25519") -> str:
    """A new key pair; the public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path.with_name(path.name + ".pub").read_text().strip()


@contextlib.contextmanager
def running_sshd(folder: Path, *, extra: str = "") -> Iterator[Sshd]:
    """Starts sshd with everything it needs in ``folder``; ends it on leaving."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("These tests need sshd: apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation directory
    port = free_port()
    host_line = make_key(folder / "host_key")
    (folder / "authorized_keys").write_text(make_key(folder / "id") + "\n")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_line}\n")
    command, asked, log = folder / "command.py", folder / "asked", folder / "sshd.log"
    command.write_text("raise SystemExit('no behaviour was set')")
    force = folder / "force"
    force.write_text(
        f'#!/bin/sh\nprintf "%s" "$SSH_ORIGINAL_COMMAND" > {asked}\nexec {sys.executable} -S {command}\n'
    )
    force.chmod(0o755)
    config = folder / "sshd_config"
    # SHLVL: Debian's bash, as login shell, reads ~/.bashrc for a command of ssh: that may take 0.5 s.
    config.write_text(
        f"""ListenAddress 127.0.0.1:{port}
HostKey {folder / "host_key"}
AuthorizedKeysFile {folder / "authorized_keys"}
PidFile none
UsePAM no
SetEnv SHLVL=1
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
{extra}
ForceCommand {force}
"""
    )
    with log.open("w") as stderr:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=stderr)
        try:
            _wait_for(port, process, log)
            yield Sshd(
                port,
                getpass.getuser(),
                folder / "id",
                folder / "known_hosts",
                command,
                asked,
                log,
                process.pid,
            )
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"sshd ended at once: {log.read_text()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not listen: {log.read_text()}")
