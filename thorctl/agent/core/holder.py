"""Who asks: the name a lease and the event log carry."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.protocol.owner import BY_HAND, Owner, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE = "device"  # the device acting for itself: deadline timer, recovery at boot; no lease stops it


@dataclass(frozen=True)
class Holder:
    """``name`` as in leases (``user@host``); ``host`` is where the operator sits.

    ``address`` is where the SSH connection comes from, as sshd saw it (None: unknown); the names are the
    caller's claim. ``purpose``: what a lease of another purpose refuses, though its name is the same.
    """

    name: str
    host: str
    address: str | None = None
    purpose: str = BY_HAND

    @property
    def owner(self) -> Owner:
        """As the owner of a lease, or of a trial."""
        return Owner(self.name, self.purpose)

    @property
    def is_device(self) -> bool:
        """True if the device itself acts."""
        return self.name == DEVICE


def holder_from(named: str | None, environment: Mapping[str, str], login: str | None = None) -> Holder:
    """The holder given by ``--holder``, else the SSH login's user and address, else root and this host.

    ``login`` is the address of the login session; without logind, a root login's environment tells it.
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
