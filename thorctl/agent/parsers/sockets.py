"""/proc/net/tcp and /proc/net/tcp6: which sockets listen on a port."""

from __future__ import annotations

_LISTEN = "0A"
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9


def listening_inodes(text: str | None, port: int) -> list[int]:
    """Return the inodes of the sockets that listen on ``port``, whatever address they are bound to."""
    rows = (line.split() for line in (text or "").splitlines()[1:])
    return [
        int(row[_INODE])
        for row in rows
        if len(row) > _INODE and row[_STATE] == _LISTEN and _port(row[_LOCAL_ADDRESS]) == port
    ]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
