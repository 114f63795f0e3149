"""GPU errors in the kernel log: ``NVRM: Xid …`` of NVIDIA's driver, error notifiers of Tegra's nvgpu."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

CALL_SECONDS = 30.0
LONGEST_LINE = 300  # characters
MOST_LINES = 20  # one fault may log hundreds
# A message may quote a local process: the kernel logs the segmentation fault of a process by its name, which
# may be "NVRM: Xid (PCI:". So the whole prefix of the driver is matched, which is longer than a process's
# name (15 characters).
# NVIDIA's driver (kernel_rc.c): "NVRM: Xid (PCI:%04x:%02x:%02x GPU-I:%02u GPU-CI:%02u): %d, …", the last two
# under MIG only.
_PCI = r"PCI:[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}(?: GPU-I:\d+)?(?: GPU-CI:\d+)?"
_XID = rf"NVRM: (?:GPU\d+ )?Xid \({_PCI}\): \d+\b"
# Tegra's nvgpu: "nvgpu: <device> <function>:<line> [ERR] <text>"; an Xid's number is in "error notifier set
# to 31 for ch 479".
_NVGPU = (
    r"nvgpu: [\w.]+ +(?:nvgpu_rc_\w*fault\w*:\d+ +\[ERR\]"
    r"|\w+:\d+ +\[ERR\] +(?:error notifier set to \d|\[?MMU FAULT\b|TSG \d+ generated a mmu fault))"
)
_GPU_ERROR = re.compile(f"{_XID}|{_NVGPU}", re.IGNORECASE)
_KERNEL = "0"  # the facility of the kernel's messages; those written to /dev/kmsg have another


class KernelLog:
    """Read the kernel's messages of this boot once, then the new ones.

    Attributes:
        found: the first GPU errors since ``since``; None if the log has never been readable.
    """

    def __init__(self, ctx: Context, since: int) -> None:
        self._ctx, self._since = ctx, since
        self._cursor: str | None = None
        self.found: list[str] | None = None

    def read(self) -> list[str] | None:
        """Return the errors found so far."""
        argv = [
            "journalctl",
            "--dmesg",
            "--quiet",
            "--no-pager",
            "--output=json",
            "--output-fields=MESSAGE,SYSLOG_FACILITY",
        ]
        argv += [f"--after-cursor={self._cursor}"] if self._cursor else []
        done = self._ctx.runner.run(argv, timeout=CALL_SECONDS)
        for line in done.stdout.splitlines() if done.ok else ():
            self._take(line)
        return self.found

    def _take(self, line: str) -> None:
        try:
            entry: dict[str, Any] = json.loads(line)
            self._cursor, at = str(entry["__CURSOR"]), int(entry["__MONOTONIC_TIMESTAMP"])
        except (ValueError, KeyError, TypeError):
            return
        self.found = [] if self.found is None else self.found
        message = _text(entry.get("MESSAGE"))
        if at < self._since or entry.get("SYSLOG_FACILITY") != _KERNEL or not _GPU_ERROR.match(message):
            return
        if len(self.found) < MOST_LINES:
            self.found.append(message[:LONGEST_LINE])


def _text(message: object) -> str:
    """Return the message of an entry: a string, or a list of bytes if it is not UTF-8."""
    if isinstance(message, list):
        try:
            return bytes(message).decode("utf-8", errors="replace")
        except (ValueError, TypeError):
            return ""
    return message if isinstance(message, str) else ""
