"""The caller of a verb, as recorded in leases and in the event log."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.owner import BY_HAND, Owner, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE = "device"  # the device itself: deadline timer, recovery at boot; exempt from leases


@dataclass(frozen=True)
class Holder:
    """``name`` as in leases (``user@host``); ``host`` is the operator's machine.

    ``address`` is the origin of the SSH connection as recorded by sshd (None: unknown); the names are the
    caller's claim. ``purpose``: a lease of another purpose is refused, even under the same name.
    """

    name: str
    host: str
    address: str | None = None
    purpose: str = BY_HAND

    @property
    def owner(self) -> Owner:
        """Return the owner of a lease, or of a trial."""
        return Owner(self.name, self.purpose)

    @property
    def is_device(self) -> bool:
        """Whether the device itself is the caller."""
        return self.name == DEVICE


def holder_from(named: str | None, environment: Mapping[str, str], login: str | None = None) -> Holder:
    """Return the holder given by ``--holder``, else the SSH login's user and address, else root here.

    ``login`` is the address of the login session; without logind a root login's environment provides it.
    """
    here = socket.gethostname()
    connection = environment.get("SSH_CONNECTION", "").split()
    address = login or (connection[0] if connection else None)
    host = address or here
    if named:
        owner = parse(named)
        return Holder(owner.name, owner.name.partition("@")[2] or host, address, owner.purpose)
    user = environment.get("SUDO_USER") or (environment.get("USER") if address else None) or "root"
    return Holder(f"{user}@{host}", host, address)
