"""One run of ansible-playbook, as a person starts it: its text, its exit code, its recap per device."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import warm_ansible

if TYPE_CHECKING:
    from typing import TextIO

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
TOOL = Path(sys.executable).parent / "ansible-playbook"
_RECAP = re.compile(r"^(\S+)\s+: (ok=\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class PlaybookRun:
    """How a run went.

    Attributes:
        exit_code: of ansible-playbook.
        text: stdout and stderr together.
        recap: device to counts: ok, changed, unreachable, failed, skipped, rescued, ignored.
        seconds: wall time.
    """

    exit_code: int
    text: str
    recap: dict[str, dict[str, int]]
    seconds: float

    def total(self, what: str) -> int:
        """Sum over the devices."""
        return sum(counts[what] for counts in self.recap.values())


def playbook(*words: str, echo: TextIO | None = None) -> PlaybookRun:
    """Runs ``ansible-playbook WORDS`` in playbooks/; ``echo`` gets each line as it comes."""
    began = time.monotonic()
    lines = []
    with subprocess.Popen(
        [str(TOOL), *words],
        cwd=PLAYBOOKS,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if echo:
                    echo.write(line)
        except (
            BaseException
        ):  # a test's time limit: `with` would wait for a playbook that nobody reads any more
            os.killpg(process.pid, signal.SIGKILL)
            raise
    text = "".join(lines)
    return PlaybookRun(process.returncode, text, read_recap(text), time.monotonic() - began)


def warm_playbook(*words: str) -> PlaybookRun:
    """`playbook` from a process that has loaded Ansible before: for runs against this machine alone."""
    began = time.monotonic()
    done = warm_ansible.run(
        [str(TOOL), *words],
        cwd=PLAYBOOKS,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return PlaybookRun(done.returncode, done.stdout, read_recap(done.stdout), time.monotonic() - began)


def _environment() -> dict[str, str]:
    own = {"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | own


def read_recap(text: str) -> dict[str, dict[str, int]]:
    """The lines below PLAY RECAP; none if the run ended before."""
    after = text.partition("PLAY RECAP")[2]
    return {
        device: {key: int(value) for key, value in (pair.split("=") for pair in counts.split())}
        for device, counts in _RECAP.findall(after)
    }
