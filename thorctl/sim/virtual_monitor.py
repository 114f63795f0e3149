"""QEMU's monitor (QMP) of a virtual machine: save its memory, count its disk operations.

Protocol: one JSON object per line over a Unix socket; events may come between answers (qemu-qmp-ref).
"""

from __future__ import annotations

import json
import shlex
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

DISK = "disk"  # the drive's id in virtual_command.start
ANSWER_SECONDS = 300.0  # it answers at once; on a host that swaps it takes longer
_POLL_SECONDS = 0.2
_UNLIMITED = 1 << 40  # bytes a second; QEMU's own limit is meant for networks


@dataclass(frozen=True)
class DiskWork:
    """The completed disk requests of the machine since its start."""

    writes: int
    flushes: int

    @property
    def operations(self) -> int:
        """The sum of both: the machine's progress, independent of any clock."""
        return self.writes + self.flushes


class Monitor:
    """One open connection; QEMU serves one at a time."""

    def __init__(self, stream: io.BufferedRWPair, name: str) -> None:
        self._stream = stream
        self._name = name
        self._read()  # its greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Return QEMU's result of ``command``.

        Raises:
            ThorError: ``sim_vm_monitor``, if it fails or the connection ends.
        """
        asked = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        self._stream.write(json.dumps(asked).encode() + b"\n")
        self._stream.flush()
        while True:
            said = self._read()
            if "error" in said:
                raise self._refused(f"{command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]

    def disk_work(self) -> DiskWork:
        """Return the number of disk requests so far."""
        for drive in self.execute("query-blockstats"):
            if drive.get("device") == DISK:
                return DiskWork(drive["stats"]["wr_operations"], drive["stats"]["flush_operations"])
        raise self._refused(f"it has no drive {DISK!r}")

    def save_memory(self, file: Path) -> None:
        """Write the machine's state without its disk to ``file``; it runs meanwhile and is suspended then.

        The disk's file is then up to date. A machine that was suspended before would stay so when restored.

        Raises:
            ThorError: ``sim_vm_monitor``.
        """
        self.execute("migrate-set-parameters", **{"max-bandwidth": _UNLIMITED})
        self.execute("migrate", uri=f"exec:cat > {shlex.quote(str(file))}")
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            status = self.execute("query-migrate").get("status")
            if status == "completed":
                return
            if status in {"failed", "cancelled"}:
                break
            time.sleep(_POLL_SECONDS)
        raise self._refused(f"its memory could not be saved to {file}: {status}")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._stream.readline()
        except OSError as broken:
            raise self._refused(str(broken)) from broken
        if not line:
            raise self._refused("QEMU closed the connection")
        said: dict[str, Any] = json.loads(line)
        return said

    def _refused(self, why: str) -> ThorError:
        return ThorError(
            "sim_vm_monitor",
            f"QEMU's monitor of {self._name}: {why}.",
            "Cut its power and switch it on again: `thorctl sim cut` and `thorctl sim up`.",
            device=self._name,
        )


@contextmanager
def connected(place: Path, name: str) -> Iterator[Monitor]:
    """Yield the monitor whose socket is ``place``."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_SECONDS)
        try:
            line.connect(str(place))
        except OSError as refused:
            raise ThorError(
                "sim_vm_monitor",
                f"QEMU's monitor of {name} ({place}) cannot be reached: {refused.strerror}.",
                "Switch the machine on: `thorctl sim up`.",
                device=name,
            ) from refused
        with line.makefile("rwb") as stream:
            yield Monitor(stream, name)
