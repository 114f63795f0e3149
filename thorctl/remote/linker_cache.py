"""Find the C libraries that asyncssh uses without starting programs.

For UMAC (nettle) and sntrup761 (liboqs) asyncssh calls ``ctypes.util.find_library``, which starts ldconfig,
gcc and ld for each name: eleven processes at each start of thorctl without liboqs. The names are in the
dynamic linker's cache, which ldconfig prints.
"""

from __future__ import annotations

import ctypes.util
import re
from functools import cache
from pathlib import Path

CACHE = Path("/etc/ld.so.cache")  # of glibc; without it the programs are started
_ASKED_BY_ASYNCSSH = frozenset({"nettle", "libnettle", "libnettle-6", "oqs", "liboqs"})
_find = ctypes.util.find_library


def install() -> None:
    """Make asyncssh use the linker's cache; call it before asyncssh is imported."""
    if CACHE.is_file():
        ctypes.util.find_library = _found


def _found(name: str) -> str | None:
    if name not in _ASKED_BY_ASYNCSSH:
        return _find(name)
    found = re.search(rb"[\0/](lib%s\.so[.0-9]*)\0" % re.escape(name.encode()), _names())
    return found[1].decode() if found else None


@cache
def _names() -> bytes:
    """Return the cache: its names end with a null byte, and may be the ends of its paths."""
    try:
        return CACHE.read_bytes()
    except OSError:
        return b""
