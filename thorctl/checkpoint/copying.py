"""Copy a file with some bytes changed, and verify that all other bytes are equal."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from thorctl.checkpoint.patch import Patch

CHUNK = 8 << 20  # bytes


def write(source: Path, target: Path, patches: Iterable[Patch], told: Callable[[int], None]) -> None:
    """Copy ``source`` over ``target``, apply the patches, sync to the disk. ``told``: bytes so far."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as file:
        done = 0
        while chunk := read.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            told(done)
        for patch in patches:
            file.seek(patch.start)
            file.write(patch.content)
        file.flush()
        os.fsync(file.fileno())


def verify(
    source: Path, target: Path, patches: Iterable[Patch], told: Callable[[int], None]
) -> tuple[str, str]:
    """Verify that the target is the patched source; return the SHA-256 of source and target.

    Raises:
        ThorError: ``result_unverified``.
    """
    ahead = sorted(patches, key=lambda patch: patch.start)
    hashes = hashlib.sha256(), hashlib.sha256()
    with source.open("rb") as left, target.open("rb") as right:
        at = 0
        while chunk := left.read(CHUNK):
            found = right.read(CHUNK)
            hashes[0].update(chunk)
            hashes[1].update(found)
            wanted = bytearray(chunk)
            for patch in ahead:
                _overlay(wanted, at, patch)
            if wanted != found:
                raise _differs(target)
            at += len(chunk)
            ahead = [patch for patch in ahead if patch.end > at]
            told(at)
        if right.read(1):
            raise _differs(target)
    return hashes[0].hexdigest(), hashes[1].hexdigest()


def sha256(path: Path, told: Callable[[int], None]) -> str:
    """Return the SHA-256 of a file. ``told``: bytes so far."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        done = 0
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            told(done := done + len(chunk))
    return digest.hexdigest()


def _overlay(chunk: bytearray, at: int, patch: Patch) -> None:
    first, last = max(patch.start, at), min(patch.end, at + len(chunk))
    if first < last:
        chunk[first - at : last - at] = patch.content[first - patch.start : last - patch.start]


def _differs(target: Path) -> ThorError:
    return ThorError(
        "result_unverified",
        f"{target.name} differs from what was written.",
        "Check the machine's disk and memory, remove the partial folder, then start again.",
    )
