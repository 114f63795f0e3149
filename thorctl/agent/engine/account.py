"""The account of the engine, and the group that may connect to it."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from thorctl.agent.release.document import Release

NAME = "thor-engine"
GROUP = "thor-api"  # its members may connect: the door, the edge, the operator's SSH user


@dataclass(frozen=True)
class Account:
    """A user and a group of this device, by number: the image does not define their names."""

    uid: int
    gid: int

    def __str__(self) -> str:
        """Format the account for ``docker run --user``."""
        return f"{self.uid}:{self.gid}"


def of_engine(release: Release) -> Account:
    """Return the account that the release's image runs as: uid 0, or the account ``thor-engine``.

    Raises:
        AgentError: ``account_missing``.
    """
    if release.image_user == "root":
        return Account(0, 0)
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        raise _missing(f"account {NAME}") from None
    return Account(found.pw_uid, found.pw_gid)


def api_group() -> int:
    """Return the group whose members may connect to the engine.

    Raises:
        AgentError: ``account_missing``.
    """
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        raise _missing(f"group {GROUP}") from None


def _missing(what: str) -> AgentError:
    return AgentError(
        "account_missing",
        f"The {what} does not exist on this device.",
        "Run `cd playbooks && ansible-playbook site.yml --limit DEVICE`: its role thor_host creates it.",
    )
