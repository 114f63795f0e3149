"""The source address of the caller's SSH login, from logind: sudo drops SSH_CONNECTION."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.agent.core.paths import Paths

# The first user slice of the path: below user@UID.service the user creates control groups of any name.
_SLICE = re.compile(r"^.*?/user\.slice/user-\d+\.slice/([^/\n]+)", re.MULTILINE)
_SCOPE = re.compile(r"session-([A-Za-z0-9]+)\.scope")
_ADDRESS = re.compile(r"^REMOTE_HOST=([0-9A-Za-z.:%_-]{1,255})$", re.MULTILINE)


def remote_address(paths: Paths) -> str | None:
    """Return the remote host of this process's login session; None without one, or without logind.

    The session is that of the process's cgroup, which is kept by sudo and after a disconnect, and which no
    unprivileged user can choose. The file is root's; sd_session_get_remote_host() of libsystemd reads it too.
    """
    try:
        places = _SLICE.findall(paths.at("/proc/self/cgroup").read_text())
        session = next(filter(None, map(_SCOPE.fullmatch, places)), None)
        if session is None:
            return None
        found = _ADDRESS.search(paths.at(f"/run/systemd/sessions/{session[1]}").read_text(errors="replace"))
    except OSError:
        return None
    return found[1] if found else None
