"""How ssh would log in: each machine on the way to a device, from the answer of ``ssh -G`` for it.

An option of ssh that thorctl does not support is rejected by name: ``ssh_option_not_followed``.
"""

from __future__ import annotations

import getopt
import hashlib
import os
import pwd
import re
import shlex
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.remote import effective
from thorctl.remote.effective import Answer, SshRefusedError, ask, tilde

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.inventory.devices import Device

# The options of ssh(1); a colon follows those with a value.
_FLAGS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"
# With these ssh does not run a command on the device.
_OTHER_JOBS = frozenset({"-G", "-N", "-O", "-Q", "-V", "-W", "-f", "-s"})
MOST_JUMPS = 8
# Option -> the values that thorctl supports, ssh's defaults included.
_FOLLOWED = {
    "proxyusefdpass": {"no"},
    "knownhostscommand": {"none"},
    "revokedhostkeys": {"none"},
    "remotecommand": {"none"},
    "sessiontype": {"default"},
    "forkafterauthentication": {"no"},
    "stdinnull": {"no"},
    "bindinterface": {"none"},
}
# Logins that only ssh supports, listed in the error if all others fail. Option -> values for "off".
_MORE_LOGINS = {
    "gssapiauthentication": {"no"},
    "hostbasedauthentication": {"no"},
    "pkcs11provider": {"none"},
}
_NO_PASSWORD = (  # Ansible's message without a password
    *("-o", "KbdInteractiveAuthentication=no"),
    *("-o", "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey"),
    *("-o", "PasswordAuthentication=no"),
)
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One login, as ssh would do it.

    Attributes:
        alias: the name or address given to ssh.
        host, port, user: of the connection.
        key_name: the host key's name in known_hosts, without the port.
        key_port: the port of ``key_name``; None: none, as with HostKeyAlias.
        known_hosts: files, the user's first.
        identities: private keys in order; absent ones included.
        certificates: files of further certificates.
        identities_only: an agent's other keys are not offered.
        agent: its socket; None: none.
        logins: methods in order: publickey, keyboard-interactive, password.
        key_algorithms: kinds of offered keys and certificates; empty: all.
        algorithms: asyncssh's argument -> names that ssh would accept, in order.
        keepalive: seconds between keep-alives, 0: none; and how many may be missed.
        connect_timeout: seconds; None: not set.
        bind_address, family: of the socket.
        proxy_command: a shell command whose stdin and stdout are the connection; None: none.
        via: the jump host, which may have one itself.
        not_tried: options for logins that ssh would also try, such as ``pkcs11provider /lib/token.so``.
        control_path: socket of a shared connection, which thorctl does not use.
    """

    alias: str
    host: str
    port: int
    user: str
    key_name: str
    key_port: int | None
    known_hosts: tuple[Path, ...]
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    logins: tuple[str, ...] = ("publickey",)
    key_algorithms: frozenset[str] = frozenset()
    algorithms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keepalive: tuple[int, int] = (0, 3)
    connect_timeout: int | None = None
    bind_address: str | None = None
    family: int = socket.AF_UNSPEC
    proxy_command: str | None = None
    via: Endpoint | None = None
    not_tried: tuple[str, ...] = ()
    control_path: str | None = None

    @property
    def where(self) -> str:
        """The host and port for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def resolve(device: Device) -> Endpoint:
    """Return the device's endpoint. Runs ssh, which may take long: not for an event loop.

    Raises:
        ThorError: ``ssh_options_invalid``, ``ssh_option_not_followed``, ``connection_not_followed``; the
            errors of the device's variables.
    """
    if device.unread:
        raise ThorError(device.unread.code, device.unread.message, device.unread.remedy, device=device.name)
    _refuse_connection(device, device.not_followed)
    try:
        before, after = _words(device.ssh_args_before), _words(device.ssh_args)
    except ValueError as error:
        raise _invalid(device, f"The ssh arguments of the inventory cannot be read: {error}") from None
    # In Ansible's order, since ssh uses the first value of an option.
    words = [*before]
    words += ["-o", f"Port={device.port}"] if device.port else []
    words += ["-o", f'IdentityFile="{device.key}"'] if device.key else []
    words += [] if device.password else list(_NO_PASSWORD)
    words += ["-o", f'User="{device.user}"'] if device.user else []
    words += ["-o", f"ConnectTimeout={device.connect_timeout}"] if device.connect_timeout else []
    words += after
    # Our default, if the arguments have none; configuration files still override it.
    words += ["-o", f'UserKnownHostsFile="{device.known_hosts}"'] if device.known_hosts else []
    endpoint = _endpoint(device, words, device.host, MOST_JUMPS)
    if endpoint.user == "root":
        return endpoint
    _refuse_connection(device, device.become.not_followed)
    if device.become.fault:
        raise ThorError(
            "inventory_invalid",
            f"The password for sudo cannot be read: {device.become.fault}.",
            "Set the vault's password: ANSIBLE_VAULT_PASSWORD_FILE=FILE, or vault_password_file in "
            "ansible.cfg.",
            device=device.name,
        )
    return endpoint


def _refuse_connection(device: Device, not_followed: str) -> None:
    if not_followed:
        raise ThorError(
            "connection_not_followed",
            f"{not_followed} is not supported: thorctl connects by ssh and becomes root by sudo.",
            "Change it in the inventory, or use a separate inventory for thorctl: -i.",
            device=device.name,
        )


def _words(text: str) -> list[str]:
    """Return the ssh arguments in a text of an inventory.

    Raises:
        ValueError: it is not a list of ssh's options.
    """
    words = shlex.split(text)
    try:
        found, rest = getopt.getopt(words, _FLAGS)
    except getopt.GetoptError as error:
        raise ValueError(str(error)) from None
    if rest:
        raise ValueError(f"{rest[0]!r} is not an option")
    for flag, _ in found:
        if flag in _OTHER_JOBS:
            raise ValueError(f"with {flag} ssh runs no command")
    return words


def _config(words: Sequence[str]) -> str | None:
    named = [value for flag, value in getopt.getopt(list(words), _FLAGS)[0] if flag == "-F"]
    return named[-1] if named else None


def _endpoint(device: Device, words: list[str], alias: str, jumps: int) -> Endpoint:
    config = _config(words)
    try:
        answer = ask(device.ssh_program, words, alias, config)
    except SshRefusedError as error:
        raise _invalid(device, f"ssh rejects the settings of {alias}: {error}") from None
    _refuse(device, alias, answer)
    fill = _Tokens(answer, alias)
    jump = _one(answer, "proxyjump")
    alias_of_key = _one(answer, "hostkeyalias")
    port = int(_one(answer, "port") or 22)
    agent = _agent(fill, _one(answer, "identityagent"))
    return Endpoint(
        alias=alias,
        host=_one(answer, "hostname") or alias,
        port=port,
        user=_one(answer, "user") or "",
        key_name=(alias_of_key or _one(answer, "hostname") or alias).lower(),
        key_port=None if alias_of_key else port,
        known_hosts=tuple(
            Path(file)
            for option in ("userknownhostsfile", "globalknownhostsfile")
            for line in answer.get(option, [])
            for file in _files(fill(line))
            if file != "none"
        ),
        identities=_paths(fill, answer, "identityfile"),
        certificates=_paths(fill, answer, "certificatefile"),
        identities_only=_one(answer, "identitiesonly") == "yes",
        agent=agent,
        logins=_logins(answer),
        key_algorithms=frozenset((_one(answer, "pubkeyacceptedalgorithms") or "").split(",")) - {""},
        algorithms={
            ours: tuple((_one(answer, theirs) or "").split(","))
            for ours, theirs in (
                ("kex_algs", "kexalgorithms"),
                ("encryption_algs", "ciphers"),
                ("mac_algs", "macs"),
                ("server_host_key_algs", "hostkeyalgorithms"),
            )
            if _one(answer, theirs)
        },
        keepalive=(_number(answer, "serveraliveinterval") or 0, _number(answer, "serveralivecountmax") or 0),
        connect_timeout=_number(answer, "connecttimeout"),
        bind_address=_one(answer, "bindaddress"),
        family=_FAMILIES.get(_one(answer, "addressfamily") or "any", socket.AF_UNSPEC),
        proxy_command=fill.command(_one(answer, "proxycommand")),
        via=_jump(device, jump, config, jumps) if jump else None,
        control_path=_control_path(_one(answer, "controlpath")),
        not_tried=tuple(
            f"{option} {_one(answer, option)}"
            for option, off in _MORE_LOGINS.items()
            if (_one(answer, option) or next(iter(off))) not in off
        ),
    )


def _refuse(device: Device, alias: str, answer: Answer) -> None:
    for option, values in _FOLLOWED.items():
        value = _one(answer, option)
        if value is not None and value.lower() not in values:
            raise ThorError(
                "ssh_option_not_followed",
                f"ssh uses `{option} {value}` for {alias}, which thorctl does not support.",
                f"Remove it from the ssh configuration for this host; `ssh -G {alias} | grep "
                f"{option}` shows it.",
                device=device.name,
            )


def _jump(device: Device, text: str, config: str | None, jumps: int) -> Endpoint:
    """Return the last jump host of a list, for which ssh starts a second ssh with the first's ``-F`` only."""
    if jumps == 0:
        raise _invalid(device, f"There are more than {MOST_JUMPS} jump hosts, or a jump host leads to itself")
    rest, _, last = text.rpartition(",")
    user, host, port = split_hop(last)
    words = ["-l", user] if user else []
    words += ["-p", str(port)] if port else []
    words += ["-J", rest] if rest else []
    words += ["-F", config] if config else []
    return _endpoint(device, words, host, jumps - 1)


def split_hop(hop: str) -> tuple[str | None, str, int | None]:
    """Parse ``[user@]host[:port]`` of ``ssh -G``, IPv6 addresses in brackets: (user, host, port)."""
    user, _, address = hop.strip().removeprefix("ssh://").rpartition("@")
    bracketed = re.fullmatch(r"\[(.*)\](?::(\d+))?", address)
    plain = re.fullmatch(r"([^:]*):(\d+)", address)
    found = bracketed or plain
    if not found:
        return user or None, address, None
    return user or None, found[1], int(found[2]) if found[2] else None


def _invalid(device: Device, message: str) -> ThorError:
    return ThorError(
        "ssh_options_invalid",
        f"{message}.",
        f"Correct it in the inventory or in ~/.ssh/config, then check with `ansible {device.name} -m ping`.",
        device=device.name,
    )


def _one(answer: Answer, option: str) -> str | None:
    return answer[option][0] if answer.get(option) else None


def _control_path(path: str | None) -> str | None:
    return None if path in {None, "none"} else path  # ssh has expanded its tokens


def _number(answer: Answer, option: str) -> int | None:
    value = _one(answer, option)
    return int(value) if value and value.isdecimal() else None


def _logins(answer: Answer) -> tuple[str, ...]:
    """Return the enabled methods in ssh's order."""
    order = (_one(answer, "preferredauthentications") or "publickey,keyboard-interactive,password").split(",")
    switches = {
        "publickey": "pubkeyauthentication",
        "keyboard-interactive": "kbdinteractiveauthentication",
        "password": "passwordauthentication",
    }
    return tuple(
        name
        for name in order
        if name in switches and (_one(answer, switches[name]) or "yes") not in {"no", "false"}
    )


def _paths(fill: _Tokens, answer: Answer, option: str) -> tuple[Path, ...]:
    return tuple(Path(tilde(fill(text))) for text in answer.get(option, []) if text != "none")


def _files(line: str) -> list[str]:
    """Return the paths of a line without its quotation marks: of several readings the one that exists."""
    words = line.split(" ")
    found: list[str] = []
    while words:
        take = next(
            (n for n in range(len(words), 1, -1) if Path(tilde(" ".join(words[:n]))).exists()),
            1,
        )
        found.append(tilde(" ".join(words[:take])))
        words = words[take:]
    return [file for file in found if file]


def _agent(fill: _Tokens, chosen: str | None) -> str | None:
    if chosen == "none":
        return None
    if chosen is None or chosen == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if chosen.startswith("$") and not chosen.startswith("${"):
        return os.environ.get(chosen[1:]) or None
    return tilde(fill(chosen))


class _Tokens:
    """ssh's tokens (TOKENS in ssh_config(5)), and environment variables in ``${}``."""

    def __init__(self, answer: Answer, alias: str) -> None:
        local = socket.gethostname()
        host, port, user = (_one(answer, option) or "" for option in ("hostname", "port", "user"))
        _, jump, _ = split_hop((_one(answer, "proxyjump") or "").rpartition(",")[2])
        self._values = {
            "%": "%",
            "C": hashlib.sha1(f"{local}{host}{port}{user}{jump}".encode(), usedforsecurity=False).hexdigest(),
            "d": str(effective.home()),
            "h": host,
            "i": str(os.getuid()),
            "j": jump,
            "k": _one(answer, "hostkeyalias") or alias,
            "L": local.partition(".")[0],
            "l": local,
            "n": alias,
            "p": port,
            "r": user,
            "u": pwd.getpwuid(os.getuid()).pw_name,
        }

    def __call__(self, text: str) -> str:
        """Return ``text`` with its tokens expanded."""
        filled = re.sub(r"%(.)", lambda found: self._values.get(found[1], found[0]), text)
        return re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), filled)

    def command(self, text: str | None) -> str | None:
        """Expand a ProxyCommand's tokens; the shell expands its variables."""
        if text is None or text == "none":
            return None
        return re.sub(r"%(.)", lambda found: self._values.get(found[1], found[0]), text)
