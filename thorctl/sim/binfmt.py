"""Let this host run aarch64 programs during the build of an image, with qemu-user; restore it afterwards."""

from __future__ import annotations

import platform
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import host_command

if TYPE_CHECKING:
    from collections.abc import Iterator

# The kernel's register of interpreters (Documentation/admin-guide/binfmt-misc.rst), and the line that
# qemu-user-static registers where a service manager runs. Its flag F opens the interpreter at once: none is
# needed inside the image.
REGISTER = Path("/proc/sys/fs/binfmt_misc")
ENTRY = "qemu-aarch64"
LINE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


@contextmanager
def aarch64_programs() -> Iterator[None]:
    """Enable aarch64 programs for the block. An existing registration is not changed.

    Raises:
        ThorError: ``binfmt_unavailable``, ``tool_missing``.
    """
    if platform.machine() == "aarch64" or (REGISTER / ENTRY).exists():
        yield
        return
    if not LINE.is_file():
        raise ThorError(
            "tool_missing",
            "The package qemu-user-static is not installed.",
            "Install it as root: `apt-get install qemu-user-static`.",
        )
    mounted = (REGISTER / "status").exists()
    if not mounted:
        _as_root(f"mount -t binfmt_misc binfmt_misc {REGISTER}")
    try:
        _as_root(f"cat {LINE} > {REGISTER}/register")
        try:
            yield
        finally:
            _as_root(f"echo -1 > {REGISTER / ENTRY}")
    finally:
        if not mounted:
            _as_root(f"umount {REGISTER}")


def _as_root(script: str) -> None:
    done = subprocess.run(
        [*host_command.as_root(), "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ThorError(
            "binfmt_unavailable",
            f"Programs for aarch64 cannot run on this machine: {done.stderr.strip()}.",
            "Load binfmt_misc as root (`modprobe binfmt_misc`), then run the same command as root or "
            "with sudo.",
        )
