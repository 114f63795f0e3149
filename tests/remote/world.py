"""A device and a bastion, each a real sshd, and everything that ssh can be told about them.

``Row``: what an inventory and an ssh configuration say of one device, and what comes of it. All rows are
hosts of one inventory, so that Ansible is asked once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.doubles.sshd import Sshd, make_key, running_sshd
from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.remote.agent_call import as_root, become_of, run_bounded
from thorctl.remote.ssh import connect
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OK = "ok"
AT_ONCE, PATIENCE = 8, 60  # configurations, seconds: a busy machine decides nothing
PASSWORD = "not a secret"
# Runs what was asked for: the double's ForceCommand then hides nothing.
OBEYS = 'import os; os.execv("/bin/sh", ["sh", "-c", os.environ.get("SSH_ORIGINAL_COMMAND", "true")])'
# thorctl may refuse what ssh and Ansible do, by one of these names.
REFUSALS = frozenset(
    {"ssh_option_not_followed", "connection_not_followed", "login_not_followed", "host_key_unknown"}
)
ANSIBLE_CFG = """[defaults]
host_key_checking = True
interpreter_python = {python}
timeout = {patience}
vault_password_file = {folder}/vault-password
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=no
"""


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        says: what thorctl answers: ``ok`` or a code.
        ssh: what ssh and Ansible do: True = they get in. None: as thorctl.
        variables: of the host; words in braces are the world's (``World.words``).
        config: of ssh, given by ``-F``; None: none is given.
        plain: also tried with ssh alone, without Ansible.
    """

    name: str
    says: str = OK
    ssh: bool | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    config: str | None = None
    plain: bool = True

    @property
    def gets_in(self) -> bool:
        """Whether ssh does."""
        return self.says == OK if self.ssh is None else self.ssh


@dataclass(frozen=True)
class World:
    """The two machines, their keys, and a place for configurations."""

    folder: Path
    device: Sshd
    bastion: Sshd
    words: dict[str, str]

    def fill(self, text: str) -> str:
        """The text with the world's words in place of ``{word}``."""
        for word, value in self.words.items():
            text = text.replace(f"{{{word}}}", value)
        return text

    def variables(self, row: Row) -> dict[str, Any]:
        """The host's variables."""
        given = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.device.port,
            "ansible_user": self.device.user,
            "ansible_ssh_private_key_file": "{key}",
            "ansible_ssh_common_args": "-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes",
        } | row.variables
        if row.config is not None:
            path = self.folder / f"{row.name}.cfg"
            path.write_text(self.fill(row.config))
            given["ansible_ssh_common_args"] = f"-F {path} {given['ansible_ssh_common_args'] or ''}".strip()
        filled = {
            key: self.fill(value) if isinstance(value, str) else value
            for key, value in given.items()
            if value is not None
        }
        return filled | {"ansible_become": False}

    def inventory(self, rows: Sequence[Row]) -> Path:
        """An inventory of all rows."""
        path = self.folder / "hosts.json"
        hosts = {row.name: self.variables(row) for row in rows}
        path.write_text(json.dumps({"thor": {"hosts": hosts}}))
        return path


def load(world: World, inventory: Path) -> list[fleet.Device]:
    """The devices, as Ansible is told of them with the world's ansible.cfg."""
    return fleet.load(inventory, config=world.folder / "ansible.cfg")


def by_thorctl(devices: list[fleet.Device]) -> dict[str, str]:
    """Host -> ``ok`` or the error's code, on thorctl's own way."""

    gate = asyncio.Semaphore(AT_ONCE)

    async def one(device: fleet.Device) -> str:
        try:
            async with gate, connect(device, PATIENCE) as connection:
                user = connection.get_extra_info("username")
                command = as_root(user, ("echo", "pong"), become_of(connection))
                _, said, stderr = await run_bounded(connection, command)
                return OK if said == "pong\n" else f"strange: {said!r} {stderr!r}"
        except ThorError as error:
            return error.code if error.remedy and error.device else f"{error.code} without a remedy"

    async def every() -> list[str]:
        return await asyncio.gather(*(one(device) for device in devices))

    return dict(zip((one.name for one in devices), asyncio.run(every()), strict=True))


def by_ansible(world: World, inventory: Path) -> dict[str, bool]:
    """Host -> whether ``ansible -m ping`` gets its pong."""
    tool = Path(sys.executable).with_name("ansible")
    done = subprocess.run(
        [str(tool), "-i", str(inventory), "thor", "-m", "ping", "--one-line", "--forks", str(AT_ONCE)],
        env={**os.environ, "ANSIBLE_CONFIG": str(world.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = [line.partition(" | ") for line in done.stdout.splitlines() if " | " in line]
    return {name: words.startswith("SUCCESS") for name, _, words in lines}


def by_ssh(world: World, rows: Sequence[Row]) -> dict[str, bool]:
    """Host -> whether a person who types the same gets in."""

    def one(row: Row) -> bool:
        given = world.variables(row)
        words = [given.get("ansible_ssh_executable", "ssh"), *_split(given.get("ansible_ssh_args"))]
        port = given.get("ansible_port") or given.get("ansible_ssh_port")
        user = given.get("ansible_user") or given.get("ansible_ssh_user")
        key = given.get("ansible_ssh_private_key_file")
        words += ["-o", f"Port={port}"] if port else []
        words += ["-o", f"IdentityFile={key}"] if key else []
        words += ["-o", f"User={user}"] if user else []
        words += ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={PATIENCE}"]
        words += _split(given.get("ansible_ssh_common_args")) + _split(given.get("ansible_ssh_extra_args"))
        host = given.get("ansible_host") or given.get("ansible_ssh_host") or row.name
        done = subprocess.run(
            [*words, host, "echo pong"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        return done.stdout == "pong\n"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((row.name for row in rows), pool.map(one, rows), strict=True))


def _split(text: str | None) -> list[str]:
    import shlex

    return shlex.split(text or "")


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Starts both machines and an agent that holds some keys."""
    (folder / "d").mkdir()
    (folder / "b").mkdir()
    (folder / "c").mkdir()
    keys = {name: folder / name for name in ("in_agent", "locked", "stranger", "ca", "certified", "beside")}
    public = {name: make_key(path) for name, path in keys.items()}
    make_key(folder / "certified_host", "ecdsa")
    _run(
        "ssh-keygen",
        "-q",
        "-s",
        keys["ca"],
        "-I",
        "host",
        "-h",
        "-n",
        "127.0.0.1",
        f"{folder}/certified_host.pub",
    )
    user = _user()
    for name, principal in (("certified", user), ("beside", user)):
        _run("ssh-keygen", "-q", "-s", keys["ca"], "-I", name, "-n", principal, f"{keys[name]}.pub")
    (folder / "certified-cert.pub").rename(folder / "elsewhere-cert.pub")
    _run("ssh-keygen", "-q", "-s", keys["ca"], "-I", "x", "-n", "nobody-else", f"{keys['certified']}.pub")
    (folder / "certified-cert.pub").rename(folder / "wrong-cert.pub")
    six = free_port()
    extra = f"ListenAddress [::1]:{six}\nTrustedUserCAKeys {folder}/ca.pub\n"
    # A machine of its own: where a plain key of another kind is recorded, ssh fails on a certificate.
    certified = f"HostKey {folder}/certified_host\nHostCertificate {folder}/certified_host-cert.pub\n"
    with (
        running_sshd(folder / "d", extra=extra) as device,
        running_sshd(folder / "b") as bastion,
        running_sshd(folder / "c", extra=certified) as with_certificate,
        agent(folder) as held,
    ):
        for sshd in (device, bastion, with_certificate):
            sshd.behave(OBEYS)
        _append(folder / "d" / "authorized_keys", public["in_agent"], public["locked"])
        _append(folder / "c" / "authorized_keys", public["in_agent"])
        _append(folder / "b" / "authorized_keys", public["in_agent"])
        _run("ssh-add", "-q", keys["in_agent"], env=held)
        _run("ssh-add", "-q", keys["locked"], env=held)
        for name in ("in_agent", "locked"):
            keys[name].with_name(f"{name}-cert.pub").unlink(missing_ok=True)
        _run("ssh-keygen", "-q", "-p", "-N", "passphrase", "-f", keys["locked"])
        words = _words(folder, device, bastion, six) | held
        words |= {"user": user, "certified_port": str(with_certificate.port)}
        yield World(folder, device, bastion, words)


def _words(folder: Path, device: Sshd, bastion: Sshd, six: int) -> dict[str, str]:
    line = device.known_hosts.read_text().strip()
    key = line.split(" ", 1)[1]
    other = bastion.known_hosts.read_text().strip()
    address = f"[127.0.0.1]:{device.port}"
    files = {
        "known": f"{line}\n{other}\n[::1]:{six} {key}\n[localhost]:{device.port} {key}\n",
        "known_device": f"{line}\n",
        "known_bastion": f"{other}\n",
        "known_alias": f"my-thor {key}\n",
        "known_bare": f"127.0.0.1 {key}\n",
        "known_wrong": f"{address} {(folder / 'stranger.pub').read_text()}",
        "known_revoked": f"{line}\n@revoked * {key}\n",
        "known_ca": f"@cert-authority [127.0.0.1]:* {(folder / 'ca.pub').read_text()}",
        "known_odd": f"garbage\n{address} ssh-future AAAA\n\n# {address}\n{line}\n",
        "known_empty": "",
        "known spaced": f"{line}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "known_hashed").write_text(files["known"])
    _run("ssh-keygen", "-q", "-H", "-f", folder / "known_hashed")
    (folder / "open").write_bytes(device.key.read_bytes())
    (folder / "open").chmod(0o644)
    (folder / "public_only").write_bytes((folder / "in_agent.pub").read_bytes())
    wrapper = folder / "wrapped-ssh"
    wrapper.write_text(f'#!/bin/sh\nexec ssh -o Port={device.port} "$@"\n')
    wrapper.chmod(0o755)
    (folder / "no-ssh").write_text("#!/bin/sh\necho hello\n")
    (folder / "no-ssh").chmod(0o755)
    (folder / "ansible.cfg").write_text(
        ANSIBLE_CFG.format(python=sys.executable, folder=folder, patience=PATIENCE)
    )
    (folder / "vault-password").write_text("pw\n")
    (folder / "included").mkdir()
    (folder / "port.conf").write_text(f"Port {device.port}\n")
    named = folder / f"key-127.0.0.1-{device.user}"
    named.write_bytes(device.key.read_bytes())
    named.chmod(0o600)
    (folder / "included" / "one.conf").write_text(f"Host inc\n  HostName 127.0.0.1\n  Port {device.port}\n")
    return {
        "folder": str(folder),
        "key": str(device.key),
        "bastion_key": str(bastion.key),
        "port": str(device.port),
        "bastion_port": str(bastion.port),
        "six": str(six),
        "closed": str(free_port()),
        **{name.replace(" ", "_"): str(folder / name) for name in files},
        "known_hashed": str(folder / "known_hashed"),
    }


@contextlib.contextmanager
def agent(folder: Path) -> Iterator[dict[str, str]]:
    """An ssh-agent, and the environment variable that names it."""
    socket = folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as process:
        before = os.environ.get("SSH_AUTH_SOCK")
        os.environ["SSH_AUTH_SOCK"] = str(socket)
        try:
            while not socket.exists():
                pass
            yield {"SSH_AUTH_SOCK": str(socket)}
        finally:
            process.terminate()
            if before is None:
                del os.environ["SSH_AUTH_SOCK"]
            else:
                os.environ["SSH_AUTH_SOCK"] = before


def _append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _run(*words: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(
        [str(word) for word in words], check=True, env={**os.environ, **(env or {})}, capture_output=True
    )


def _user() -> str:
    import getpass

    return getpass.getuser()
