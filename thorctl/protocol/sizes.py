"""Sizes as people read them: what is stored or sent in units of 10⁹ bytes, memory in units of 2³⁰."""

from __future__ import annotations

_DECIMAL = ("kB", "MB", "GB", "TB", "PB")
_GIB, _MIB = 2**30, 2**20
_SMALLEST_IN_GIB = _GIB // 10


def gigabytes(size: int) -> str:
    """Bytes on a disk or of a download: ``24.1 GB``, ``147.5 kB``, ``1 byte``."""
    if abs(size) < 1000:
        return f"{size} byte" if abs(size) == 1 else f"{size} bytes"
    number, unit = float(size), ""
    for unit in _DECIMAL:  # noqa: B007 - the last one is the largest there is
        number /= 1000
        if abs(number) < 999.95:
            break
    return f"{number:.1f} {unit}"


def gibibytes(size: int) -> str:
    """Bytes of memory: ``98.1 GiB``, ``128 GiB``, ``4 MiB``."""
    if size and abs(size) < _SMALLEST_IN_GIB:
        return f"{size / _MIB:.0f} MiB"
    return f"{size / _GIB:.1f} GiB" if abs(size) < 100 * _GIB else f"{size / _GIB:.0f} GiB"
