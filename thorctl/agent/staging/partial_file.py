"""A file that is being downloaded: its bytes, and the record of those that are on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent.staging.fetch_error import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable


class PartialFile:
    """One file of the order: its bytes, and the record of those that are on the disk.

    Paths are plain text here (hence no PTH checks): most calls take descriptors, which pathlib does not.
    """

    def __init__(self, directory: str, document: dict[str, Any]) -> None:
        self.path, self.size, self.sha256 = document["path"], int(document["size"]), document["sha256"]
        self.part = os.path.join(directory, f"{self.sha256}.part")  # noqa: PTH118 - one style in this file
        self.record_file = os.path.join(directory, f"{self.sha256}.ranges")  # noqa: PTH118
        self.lock = threading.Lock()
        self.ranged, self.address, self.etag = True, None, None
        self.active: list[tuple[int, int]] = []
        self.ranges: list[tuple[int, int]] = []
        self._adopt()
        self._load()
        self.descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.log = os.open(
            self.record_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )

    address: str | None
    etag: str | None

    @property
    def done_bytes(self) -> int:
        """Recorded bytes."""
        return sum(end - start for start, end in self.ranges)

    def holes(self) -> list[tuple[int, int]]:
        """Return the byte ranges that are neither recorded nor being fetched."""
        found, at = [], 0
        for start, end in [*sorted([*self.ranges, *self.active]), (self.size, self.size)]:
            if start > at:
                found.append((at, start))
            at = max(at, end)
        return found

    def write(self, at: int, piece: bytes) -> int:
        """Write where nothing is recorded; return the number of new bytes."""
        new = 0
        with self.lock:
            wanted = _subtract((at, at + len(piece)), self.ranges)
        for start, end in wanted:
            view = memoryview(piece)[start - at : end - at]
            while view:
                view = view[_disk(partial(os.pwrite, self.descriptor, view, end - len(view))) :]
            new += end - start
        return new

    def record(self, start: int, end: int) -> None:
        """Sync bytes to the disk, record them, and drop them from the page cache."""
        if end <= start:
            return
        _disk(lambda: os.fdatasync(self.descriptor))
        with contextlib.suppress(OSError):
            os.posix_fadvise(self.descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
        with self.lock:
            etag = f"etag {self.etag}\n" if self.etag and not self.ranges else ""
            _disk(lambda: os.write(self.log, f"{etag}{start} {end}\n".encode()))
            _disk(lambda: os.fdatasync(self.log))
            self.ranges = _merged([*self.ranges, (start, end)])

    def forget(self) -> None:
        """Delete the file's bytes and record."""
        for path in (self.record_file, self.part):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108

    def _adopt(self) -> None:
        """Continue a file that another program has begun (``<sha256>.kept``)."""
        kept = self.part.removesuffix(".part") + ".kept"
        with contextlib.suppress(OSError):
            size = os.lstat(kept).st_size
            if size <= self.size and not os.path.exists(self.part):  # noqa: PTH110
                with open(self.record_file, "w", encoding="ascii") as record:  # noqa: PTH123
                    record.write(f"0 {size}\n")
                os.rename(kept, self.part)  # noqa: PTH104
            else:
                os.unlink(kept)  # noqa: PTH108

    def _load(self) -> None:
        try:
            there = os.lstat(self.part).st_size
            with open(self.record_file, encoding="ascii", errors="replace") as record:  # noqa: PTH123
                lines = record.read().split("\n")[:-1]  # a line without its end is incomplete
        except OSError:
            self.forget()
            return
        for line in lines:
            if line.startswith("etag "):
                self.etag = line.removeprefix("etag ")
            pair = re.fullmatch(r"(\d{1,18}) (\d{1,18})", line)
            if pair and int(pair[1]) < int(pair[2]) <= min(there, self.size):
                self.ranges.append((int(pair[1]), int(pair[2])))
        self.ranges = _merged(self.ranges)


def _disk(operation: Callable[[], Any]) -> Any:
    """Run a file operation; convert its OSError into a disk failure, as opposed to a network one."""
    try:
        return operation()
    except OSError as failed:
        code = {errno.ENOSPC: "disk_too_small", errno.EDQUOT: "disk_too_small", errno.EROFS: "disk_read_only"}
        raise FetchError(code.get(failed.errno or 0, "disk_failed"), str(failed), fatal=True) from failed


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _subtract(span: tuple[int, int], ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, at = [], span[0]
    for start, end in ranges:
        if end <= at or start >= span[1]:
            continue
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if at < span[1]:
        found.append((at, span[1]))
    return found
