"""Connect as root to the engine's Unix socket, in a directory that the engine owns."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_socket(path: Path, timeout: float | None = None) -> socket.socket:
    """Return a stream socket connected to ``path``; ``timeout`` in seconds, None for none.

    The directory's owner may replace the entry at any time, so it is opened once (a symbolic link is not
    followed), verified to be a socket, and connected through its descriptor.

    Raises:
        OSError: the connection failed; ``ENOTSOCK`` if the entry is not a socket.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        entry = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        if not stat.S_ISSOCK(os.fstat(entry).st_mode):
            raise OSError(errno.ENOTSOCK, "not a socket", str(path))
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(f"/proc/self/fd/{entry}")
        except BaseException:
            connection.close()
            raise
    finally:
        os.close(entry)
    return connection
