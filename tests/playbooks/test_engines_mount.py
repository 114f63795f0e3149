"""The engine owns the directory of its socket: it fills neither /run nor its inodes, and leaves no code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "playbooks/roles/thor_host/files/run-thor-engines.mount"
MOST_BYTES, MOST_FILES = 2**20, 64
# As the engine, in the directory that the agent makes for it: files and bytes without end, then a program.
ATTACK = """
import os, socket, sys
os.chdir(sys.argv[1]); os.setgid(4242); os.setuid(4242)
socket.socket(socket.AF_UNIX).bind("engine.sock")
with open("program", "w") as program: program.write("#!/bin/sh\\n")
os.chmod("program", 0o6755)
try: os.execv("./program", ["program"])
except OSError as refused: print("exec", refused.errno)
size = files = 0
try:
    while files < 1000:
        with open(f"f{files}", "wb"): files += 1
except OSError as refused: print("files", refused.errno, files)
os.unlink("f0")
try:
    with open("big", "wb", buffering=0) as big:
        while size < 2**24: size += big.write(bytes(65536))
except OSError as refused: print("bytes", refused.errno, size)
"""


def option(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a file system")
def test_an_engine_fills_nothing_but_its_own_place(tmp_path: Path) -> None:
    place = tmp_path / "engines"
    place.mkdir()
    tmp_path.chmod(0o755)
    script = (
        'mount -t "$1" -o "$2" thor-engines "$3" && mkdir "$3/main" && chown 4242 "$3/main" && '
        'exec "$4" -I -c "$5" "$3/main"'
    )
    words = [option("Type"), option("Options"), str(place), sys.executable, ATTACK]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words], capture_output=True, text=True, check=False
    )
    found = {line.split()[0]: [int(word) for word in line.split()[1:]] for line in done.stdout.splitlines()}
    assert found["exec"] == [13], done.stderr
    assert found["files"][0] == 28
    assert found["files"][1] < MOST_FILES
    assert found["bytes"][0] == 28
    assert found["bytes"][1] <= MOST_BYTES


def test_it_is_mounted_before_whoever_uses_the_sockets() -> None:
    """A service with a view of its own of the file systems does not see what is mounted later."""
    before = option("Before").split()
    assert {"thor-engine.service", "thor-door.service", "thor-edge.service", "docker.service"} <= set(before)
    assert option("Where") == "/run/thor/engines"
    assert {"nosuid", "nodev", "noexec"} <= set(option("Options").split(","))
    assert UNIT.name == "run-thor-engines.mount"  # as systemd wants it of that path


def test_it_is_not_mounted_over_the_socket_of_an_engine_that_runs() -> None:
    """site.yml starts it on each device that gets it; one with an engine waits for its next boot."""
    assert option("ConditionDirectoryNotEmpty") == "!" + option("Where")
