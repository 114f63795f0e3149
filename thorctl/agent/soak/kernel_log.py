"""GPU errors in the kernel's log: ``NVRM: Xid …`` of NVIDIA's driver, error notifiers of Tegra's nvgpu."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorctl.agent.context import Context

CALL_SECONDS = 30.0
LONGEST_LINE = 300  # characters
MOST_LINES = 20  # one fault of the driver may write hundreds
# nvgpu tells the number of an Xid as "error notifier set to 31 for ch 479".
_GPU_ERROR = re.compile(
    r"NVRM:.*\bXid\b|nvgpu\b.*(?:error notifier set to|mmu fault|nvgpu_rc_\w*fault)", re.IGNORECASE
)


class KernelLog:
    """Reads the kernel's messages of this boot once, and after that those that are new.

    Attributes:
        found: the first GPU errors since ``since``; None while the log could never be read.
    """

    def __init__(self, ctx: Context, since: int) -> None:
        self._ctx, self._since = ctx, since
        self._cursor: str | None = None
        self.found: list[str] | None = None

    def read(self) -> list[str] | None:
        """What was found so far."""
        argv = ["journalctl", "--dmesg", "--quiet", "--no-pager", "--output=json", "--output-fields=MESSAGE"]
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
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # bytes that are no text
            message = bytes(message).decode("utf-8", errors="replace")
        hit = at >= self._since and isinstance(message, str) and _GPU_ERROR.search(message)
        if isinstance(message, str) and hit and len(self.found) < MOST_LINES:
            self.found.append(message[:LONGEST_LINE])
