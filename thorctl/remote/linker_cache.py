"""Find the C libraries that asyncssh can use without starting programs.

For UMAC (nettle) and sntrup761 (liboqs) asyncssh asks ``ctypes.util.find_library``, which starts ldconfig,
gcc and ld for each name: eleven processes at each start of thorctl where liboqs is missing. The names stand
in the dynamic linker's cache, which is what ldconfig prints.
"""

from __future__ import annotations

import ctypes.util
import re
from functools import cache
from pathlib import Path

CACHE = Path("/etc/ld.so.cache")  # of glibc; elsewhere the programs are asked
_ASKED_BY_ASYNCSSH = frozenset({"nettle", "libnettle", "libnettle-6", "oqs", "liboqs"})
_find = ctypes.util.find_library


def install() -> None:
    """Answer asyncssh's questions from the linker's cache; to be called before it is imported."""
    if CACHE.is_file():
        ctypes.util.find_library = _found


def _found(name: str) -> str | None:
    if name not in _ASKED_BY_ASYNCSSH:
        return _find(name)
    found = re.search(rb"[\0/](lib%s\.so[.0-9]*)\0" % re.escape(name.encode()), _names())
    return found[1].decode() if found else None


@cache
def _names() -> bytes:
    """The cache: its names end with a null byte, and may be the ends of its paths."""
    try:
        return CACHE.read_bytes()
    except OSError:
        return b""
