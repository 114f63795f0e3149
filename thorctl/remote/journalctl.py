"""The command on the device that shows a log. Pure: what is wanted in, words of a command line out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from thorctl.protocol.paths import EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

Log = Literal["engine", "agent", "events"]

TRANSIENT_GONE = "Failed to open /run/systemd/transient/"
# The agent writes to its caller's stderr; in the journal is what the device did without one: detached verbs,
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
    """The words of the command that prints ``log``; ``since`` as journalctl takes it, not for events.

    With ``since`` and ``lines`` the newest line comes first (``in_order`` turns them): without ``--reverse``
    a systemd before 254 takes ``--lines`` for the first ones.
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
    """Whether a line of ``log_command``, as text or JSON, is about the device.

    Not shown: systemd's notice that a transient unit's file is gone, which each ended timer leaves.
    """
    return TRANSIENT_GONE not in line


def reads_backwards(*, lines: int | None, since: str | None) -> bool:
    """Whether ``log_command`` prints the newest line first."""
    return lines is not None and since is not None


def in_order(newest_first: Sequence[str]) -> list[str]:
    """Lines of ``--reverse``, the oldest first; indented lines belong to the one before."""
    messages: list[list[str]] = []
    for line in newest_first:
        if line.startswith((" ", "\t")) and messages:
            messages[-1].append(line)
        else:
            messages.append([line])
    return [line for message in reversed(messages) for line in message]
