"""The unprivileged account that reads untrusted data from the network."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

DEFAULT = "thor-fetch"
FIRST_LOGIN_UID = 1000
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")  # as in thor_system


@dataclass(frozen=True)
class Account:
    """A system account of this device."""

    name: str
    uid: int
    gid: int


def find(ctx: Context) -> Account:
    """Return the account that /etc/thor/device.json names (role thor_host), else ``thor-fetch``.

    Raises:
        AgentError: ``account_missing``: there is no such account, or it allows a login.
    """
    try:
        device: Any = read_json(ctx.paths.device_json) or {}
        name = str(device.get("account") or DEFAULT)
    except (ValueError, AttributeError):
        name = DEFAULT
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise _missing(f"This device has no account {name}") from None
    if not 0 < entry.pw_uid < FIRST_LOGIN_UID or entry.pw_shell not in NO_LOGIN:
        raise _missing(f"The account {name} of this device is not a service account")
    return Account(name, entry.pw_uid, entry.pw_gid)


def _missing(what: str) -> AgentError:
    return AgentError(
        "account_missing",
        f"{what}; downloads never run as root.",
        "Run `cd playbooks && ansible-playbook site.yml --limit DEVICE`: its role thor_host creates "
        "the account (thor_host_account).",
    )
