"""Run a command of this host: its output line by line to a callback, its last lines in an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import host_network

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_LINES = 20  # of a failed command's output
SYSTEM_PLACES = "/usr/sbin:/sbin"  # not on an ordinary Debian user's PATH


def as_root() -> list[str]:
    """Return the prefix of a command that needs root: none for root itself, else sudo if installed."""
    if os.geteuid() == 0 or shutil.which("sudo") is None:
        return []  # without either, mmdebstrap uses a user namespace
    kept = ",".join(host_network.PROXY_VARIABLES)
    return ["sudo", f"--preserve-env={kept}"]


def run(command: list[str], on_line: Callable[[str], None], *, name: str, remedy: str) -> None:
    """Run a command to its end; ``name`` is its name in errors.

    Raises:
        ThorError: ``image_build_failed``, with the last lines of its standard error.
    """
    tail: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stderr or ():
            tail = [*tail[-KEPT_LINES:], line.rstrip()]
            on_line(line.rstrip())
    if process.returncode != 0:
        raise ThorError(
            "image_build_failed", f"{name} exited with {process.returncode}:\n" + "\n".join(tail), remedy
        )


def require(tools: dict[str, str]) -> None:
    """Verify that programs are installed; ``tools`` maps each to its Debian package.

    Raises:
        ThorError: ``tool_missing``, naming the packages.
    """
    places = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PLACES}"
    missing = [tool for tool in tools if shutil.which(tool, path=places) is None]
    if missing:
        packages = " ".join(sorted({tools[tool] for tool in missing}))
        raise ThorError(
            "tool_missing",
            f"Programs are not installed: {', '.join(missing)}.",
            f"Install them as root: `apt-get install {packages}`.",
        )
