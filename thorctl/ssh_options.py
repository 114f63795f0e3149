"""Reads what Ansible hands to ``ssh``: the options that say whom to trust and which way to go. Pure."""

from __future__ import annotations

import getopt
import shlex
from dataclasses import dataclass

# Those of ssh(1); with a colon the ones that take a value.
_SSH_FLAGS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"


@dataclass(frozen=True, slots=True)
class SshOptions:
    """What is understood of ssh's command-line options; the rest is ssh's own business.

    Attributes:
        known_hosts: files of trusted host keys, in order; empty when not said.
        jump: hosts to go through, ``[user@]host[:port]``, nearest first.
        proxy_command: the command whose stdin and stdout are the way, or None.
        host_key_alias: the name under which the host's key is filed, or None.
    """

    known_hosts: tuple[str, ...] = ()
    jump: tuple[str, ...] = ()
    proxy_command: str | None = None
    host_key_alias: str | None = None


def parse_ssh_options(text: str) -> SshOptions:
    """Parses ``ansible_ssh_common_args``.

    Raises:
        ValueError: the text is no list of ssh options.
    """
    try:
        options, rest = getopt.getopt(shlex.split(text), _SSH_FLAGS)
    except getopt.GetoptError as error:
        raise ValueError(str(error)) from None
    if rest:
        raise ValueError(f"{rest[0]!r} is not an option")
    found: dict[str, str] = {}
    for flag, value in options:
        if flag == "-J":
            found.setdefault("proxyjump", value)
        elif flag == "-o":
            key, _, setting = value.replace("=", " ", 1).strip().partition(" ")
            found.setdefault(key.lower(), setting.strip())  # as in ssh: the first one counts
    jump = found.get("proxyjump", "")
    return SshOptions(
        known_hosts=tuple(shlex.split(found.get("userknownhostsfile", ""))),
        jump=() if jump.lower() in {"", "none"} else tuple(hop.strip() for hop in jump.split(",")),
        proxy_command=found.get("proxycommand"),
        host_key_alias=found.get("hostkeyalias"),
    )


def split_hop(hop: str) -> tuple[str | None, str, int]:
    """``[user@]host[:port]``, also ``ssh://…`` and ``[IPv6]:port``, as (user, host, port).

    Raises:
        ValueError: the port is not a number.
    """
    user, _, address = hop.removeprefix("ssh://").rpartition("@")
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    else:
        host, port = address, ""
    return user or None, host, int(port) if port else 22
