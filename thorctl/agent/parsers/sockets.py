"""/proc/net/tcp and /proc/net/tcp6: which sockets listen on a port."""

from __future__ import annotations

_LISTEN = "0A"
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9


def listening_inodes(text: str | None, port: int) -> list[int]:
    """Return the inodes of the sockets that listen on ``port``, whatever address they are bound to."""
    inodes = []
    for line in (text or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > _INODE and fields[_STATE] == _LISTEN:
            if int(fields[_LOCAL_ADDRESS].rpartition(":")[2], 16) == port:
                inodes.append(int(fields[_INODE]))
    return inodes
