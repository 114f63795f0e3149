"""The real agent as processes, on a root of its own, with a double of systemd's transient units."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.remote import agent_archive

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 60
# In the place of systemd: a process in a session of its own, known by its number.
SYSTEMD_RUN = """#!{python}
import os, pathlib, subprocess, sys
words = sys.argv[1:]
name = words[words.index("--unit") + 1]
begins = next(i for i, word in enumerate(words) if word == {python!r})
child = subprocess.Popen(words[begins:], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=True)
pathlib.Path({units!r}, name + ".service").write_text(str(child.pid))
"""
SYSTEMCTL = """#!{python}
import os, pathlib, sys
place = pathlib.Path({units!r}, sys.argv[-1])
alive = place.exists() and os.path.exists("/proc/" + place.read_text() + "/exe")
print("ActiveState=" + ("active" if alive else "inactive"))
"""


@dataclass(frozen=True)
class Installed:
    """An agent's file, the device's root, and a double of systemd."""

    folder: Path

    @property
    def zipapp(self) -> Path:
        return self.folder / "agent.pyz"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def units(self) -> Path:
        return self.folder / "units"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def command(self) -> list[str]:
        root = ("--root", str(self.root))
        return [sys.executable, "-I", str(self.zipapp), *root, "--holder", "ann@desk"]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-I",
                str(self.zipapp),
                "--root",
                str(self.root),
                "--holder",
                "ann@desk",
                *words,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"},
            start_new_session=True,
        )

    def say(self, *words: str) -> dict[str, Any]:
        with self.start(*words) as process:
            out, log = process.communicate(timeout=WAIT_SECONDS)
        assert out, log
        answer: dict[str, Any] = json.loads(out)
        return answer

    def unit_pid(self, job: str) -> int:
        return int((self.units / f"thor-job-activate-{job}.service").read_text())

    def wait_until_at_work(self, job: str) -> None:
        running = self.root / "run/thor/private/jobs" / job / "running"
        until = time.monotonic() + WAIT_SECONDS
        while not (running.exists() and running.stat().st_size):
            assert time.monotonic() < until
            time.sleep(0.05)


def installed(folder: Path) -> Installed:
    """An agent in ``folder``, which need not exist."""
    made = Installed(folder)
    for place in (made.bin, made.units):
        place.mkdir(parents=True)
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        program = made.bin / name
        program.write_text(text.format(python=sys.executable, units=str(made.units)))
        program.chmod(0o755)
    agent_archive.build(made.zipapp)
    return made
