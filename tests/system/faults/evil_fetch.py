"""What an attacker would run in the fetcher's place: tries every way out, and says which were open."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Wait for the file ``go``, try, and end as a fetcher that failed, with what succeeded as its reason."""
    order = json.load(sys.stdin)
    os.chdir(order["directory"])
    part = f"{order['files'][0]['sha256']}.part"
    with open(part, "wb") as file:  # noqa: PTH123
        file.write(b"evil")
    while not os.path.exists("go"):  # noqa: PTH110
        sys.stdout.write('{"done_bytes": 4}\n')
        sys.stdout.flush()
        time.sleep(0.2)
    open_ways = [name for name, way in WAYS.items() if succeeds(way)]
    with contextlib.suppress(OSError):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    sys.stdout.write(json.dumps({"end": {"code": "probe", "reason": " ".join(open_ways) or "closed"}}) + "\n")
    sys.stdout.flush()
    os._exit(1)


def succeeds(way: Callable[[], object]) -> bool:
    """Whether a way out is open."""
    try:
        return way() is not False
    except (OSError, subprocess.SubprocessError, AttributeError):
        return False


def _write(path: str) -> object:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        return file.write("x")


def _read(path: str) -> object:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(1)


def _set_uid_bit() -> object:
    with open("mine", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("x")
    os.chmod("mine", 0o4755)  # noqa: PTH101, S103
    return bool(os.stat("mine").st_mode & 0o4000)  # noqa: PTH116


WAYS: dict[str, Callable[[], object]] = {
    "etc": lambda: _write("/etc/evil"),
    "unit": lambda: _write("/etc/systemd/system/evil.service"),
    "state": lambda: _write("/var/lib/thor/evil"),
    "checkpoints": lambda: _write("/var/lib/thor/checkpoints/evil"),
    "verified": lambda: os.listdir("/var/lib/thor/verified"),  # noqa: PTH208
    "incoming": lambda: _write("/var/lib/thor/incoming/evil"),
    "run": lambda: _write("/run/thor/evil"),
    "token": lambda: _read("/etc/thor/hub-token"),
    "home": lambda: os.listdir("/home/thor"),  # noqa: PTH208
    "symlink": lambda: os.symlink("/etc", "link"),  # noqa: PTH211
    "hardlink": lambda: os.link("go", "hard"),
    "folder": lambda: os.mkdir("folder"),  # noqa: PTH102
    "fifo": lambda: os.mkfifo("fifo"),
    "setuid-bit": _set_uid_bit,
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "root": lambda: os.setuid(0),
    "namespace": lambda: ctypes.CDLL(None).unshare(0x10000000) == 0,
    "sudo": lambda: subprocess.run(["sudo", "-n", "true"], check=True, capture_output=True),
    "signal": lambda: os.kill(1, 0),
}
