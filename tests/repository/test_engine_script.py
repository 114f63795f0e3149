"""scripts/engine with a dockerd that only opens its socket: who may use that."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

DOCKERD = """#!/usr/bin/env python3
import os, socket, sys, time
place = sys.argv[sys.argv.index("--host") + 1].removeprefix("unix://")
os.umask(0o117)
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(place)
    listener.listen()
    while os.path.exists(place):
        time.sleep(0.05)
"""
DOCKER = '#!/bin/sh\ntest -S "${2#unix://}" && case $2 in *RUN*) ;; *) false ;; esac\n'
OTHER_USER = 12345


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the script and its programs; the engine's own folders lie below it."""
    programs = {"dockerd": DOCKERD, "docker": DOCKER.replace("RUN", tmp_path.name), "iptables": "#!/bin/sh\n"}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    script = (CHECKOUT / "scripts" / "engine").read_text()
    for folder in ("/run/thorctl", "/var/lib/thorctl"):
        script = script.replace(folder, f"{tmp_path}{folder}")
    (tmp_path / "engine").write_text(script)
    return tmp_path


def start(place: Path, **environment: str) -> os.stat_result:
    """The socket once ``engine start`` has returned; it is closed then."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DOCKER_HOST", "SUDO_UID"}}
    path = f"{place / 'bin'}:{kept['PATH']}"
    started = subprocess.run(
        ["sh", str(place / "engine"), "start"],
        env={**kept, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    socket = place / "run" / "thorctl" / "docker.sock"
    assert started.stdout.strip() == f"unix://{socket}"
    found = socket.stat()
    socket.unlink()
    return found


def test_the_socket_is_its_starter_s_alone(place: Path) -> None:
    found = start(place)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.getuid()


def test_root_s_socket_is_of_the_user_who_came_by_sudo(place: Path) -> None:
    found = start(place, SUDO_UID=str(OTHER_USER))
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == (os.getuid() or OTHER_USER)
