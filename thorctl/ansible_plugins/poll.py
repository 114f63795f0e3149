"""Poll a detached verb: its result, the boot, its progress."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from thorctl.protocol import foreign_json
from thorctl.protocol.paths import PROGRESS

MARK = "--thor--"


@dataclass(frozen=True)
class Look:
    """The result of one poll.

    Attributes:
        finished: whether the result is written.
        boot: changes when the device, or its container, restarts; '' if it could not be read.
        progress: the agent's progress; None without any.
    """

    finished: bool
    boot: str
    progress: dict[str, Any] | None


def look_command(results_file: str) -> str:
    """Return the shell command whose output ``read_look`` parses; without a module it takes milliseconds."""
    # Field 22 of /proc/1/stat is the start of init: a container that restarts keeps the host's boot id.
    return (
        f"cat {shlex.quote(results_file)}; echo; echo {MARK}; "
        "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat; "
        f"echo {MARK}; cat {PROGRESS} 2>/dev/null || true"
    )


def read_look(stdout: str) -> Look | None:
    """Parse the output of ``look_command``; None if it is incomplete."""
    parts = stdout.split(MARK)
    if len(parts) != 3:
        return None
    result, boot, progress = (part.strip() for part in parts)
    written = _object(result)
    # async_wrapper writes {"started": …} first and replaces it by the module's result at the end.
    return Look(written is not None and "started" not in written, " ".join(boot.split()), _object(progress))


def _object(text: str) -> dict[str, Any] | None:
    try:
        parsed = foreign_json.read(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
