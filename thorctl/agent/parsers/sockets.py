"""/proc/net/tcp and /proc/net/tcp6: the sockets that listen on a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTEN = "0A"
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9
# 127.0.0.1 and the wildcard address, of IPv4 and of IPv6, in the form of a little-endian kernel.
_LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")
_ANY = ("0" * 8, "0" * 32)


def listening_inodes(tables: Iterable[str | None], port: int) -> set[int]:
    """Return the inodes of the sockets that accept connections to 127.0.0.1 at ``port``.

    As in the kernel, one bound to 127.0.0.1 takes precedence over one bound to the wildcard address. Those of
    other addresses, 127.0.0.2 for example, do not conflict.
    """
    rows = [line.split() for text in tables for line in (text or "").splitlines()[1:]]
    found = [
        (row[_LOCAL_ADDRESS].rpartition(":")[0], int(row[_INODE]))
        for row in rows
        if len(row) > _INODE and row[_STATE] == _LISTEN and _port(row[_LOCAL_ADDRESS]) == port
    ]
    for addresses in (_LOOPBACK, _ANY):
        if inodes := {inode for address, inode in found if address in addresses}:
            return inodes
    return set()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
