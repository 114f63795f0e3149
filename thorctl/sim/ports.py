"""Free TCP ports for servers of the simulation and of the tests."""

import random
import socket
from pathlib import Path

# Ports below are left to well-known services.
_FIRST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listens on, at any address of this machine.

    The port is below the range from which the kernel takes ports for outgoing connections and for
    ``bind(0)``: one of that range may be in use again before the server binds it, or when it restarts.
    No port is returned twice in a process. Raises ``OSError`` if none was found.
    """
    end = min(int(_RANGE.read_text().split()[0]), 32_768) if _RANGE.exists() else 32_768
    if end <= _FIRST:
        end = 32_768
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, end)  # noqa: S311 - no secret
        if port not in _given and can_bind(port, ""):
            _given.add(port)
            return port
    raise OSError(f"no free TCP port between {_FIRST} and {end}")


def can_bind(port: int, address: str) -> bool:
    """Return whether a server with SO_REUSEADDR can bind ``port`` of ``address`` (empty: of all)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
