"""Who asks: the name a lease and the event log carry."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE = "device"  # the device acting for itself: deadline timer, recovery at boot; no lease stops it


@dataclass(frozen=True)
class Holder:
    """``name`` as in leases (``user@host``); ``host`` is where the operator sits.

    ``address`` is where the SSH connection comes from, as sshd saw it (None: unknown); the names are the
    caller's claim.
    """

    name: str
    host: str
    address: str | None = None

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
        return Holder(named, named.partition("@")[2] or host, address)
    user = environment.get("SUDO_USER") or (environment.get("USER") if address else None) or "root"
    return Holder(f"{user}@{host}", host, address)
