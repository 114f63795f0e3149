"""Build the command that shows a log on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from thorctl.protocol.paths import EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

Log = Literal["engine", "agent", "events"]

TRANSIENT_GONE = "Failed to open /run/systemd/transient/"
# The agent logs to its caller's stderr; the journal has what it did without a caller: detached verbs,
# recovery at boot, the ends of trials.
UNITS: dict[Log, tuple[str, ...]] = {
    "engine": ("thor-engine.service",),
    "agent": (
        "thor-job-*.service",
        "thor-recover.service",
        "thor-trial-*.service",
        "thor-activating-*.service",
        "thor-rolling-back-*.service",
    ),
}


def log_command(
    log: Log, *, lines: int | None, follow: bool, since: str | None, as_json: bool
) -> tuple[str, ...]:
    """Return the command that prints ``log``; ``since`` in journalctl's form, not for events.

    With ``since`` and ``lines`` the newest line comes first (``in_order`` reverses them): without
    ``--reverse`` a systemd before 254 applies ``--lines`` to the first lines.
    """
    if log == "events":
        # -F: the file is replaced when it reaches its size cap.
        return ("tail", "-n", str(lines or 0), *(("-F",) if follow else ()), EVENTS)
    units = tuple(f"--unit={unit}" for unit in UNITS[log])
    return (
        "journalctl",
        *units,
        "--no-pager",
        f"--output={'json' if as_json else 'short-iso'}",
        *((f"--lines={lines}",) if lines is not None else ("--lines=all",) if follow else ()),
        *((f"--since={since}",) if since else ()),
        *(("--reverse",) if reads_backwards(lines=lines, since=since) else ()),
        *(("--follow",) if follow else ()),
    )


def shown(line: str) -> bool:
    """Return whether a line of ``log_command``, as text or JSON, is about the device.

    It is not if it is systemd's notice of a missing transient unit file, which each ended timer leaves.
    """
    return TRANSIENT_GONE not in line


def reads_backwards(*, lines: int | None, since: str | None) -> bool:
    """Return whether ``log_command`` prints the newest line first."""
    return lines is not None and since is not None


def in_order(newest_first: Sequence[str]) -> list[str]:
    """Return the lines of ``--reverse``, the oldest first; indented lines follow their first line."""
    messages: list[list[str]] = []
    for line in newest_first:
        if line.startswith((" ", "\t")) and messages:
            messages[-1].append(line)
        else:
            messages.append([line])
    return [line for message in reversed(messages) for line in message]
