"""A job as processes: it outlives its caller, the agent's file, and not a SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.remote import agent_archive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

WAIT_SECONDS = 60
RELEASE = "x-0123456789ab"
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
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            start_new_session=True,
        )

    def say(self, *words: str) -> dict[str, Any]:
        with self.start(*words) as process:
            out, log = process.communicate(timeout=WAIT_SECONDS)
        assert out, log
        answer: dict[str, Any] = json.loads(out)
        return answer

    def unit_pid(self, job: str) -> int:
        return int((self.folder / "units" / f"thor-job-activate-{job}.service").read_text())

    def wait_until_at_work(self, job: str) -> None:
        running = self.root / "run/thor/private/jobs" / job / "running"
        until = time.monotonic() + WAIT_SECONDS
        while not (running.exists() and running.stat().st_size):
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def agent(tmp_path: Path) -> Installed:
    (tmp_path / "bin").mkdir()
    (tmp_path / "units").mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        program = tmp_path / "bin" / name
        program.write_text(text.format(python=sys.executable, units=str(tmp_path / "units")))
        program.chmod(0o755)
    made = Installed(tmp_path)
    agent_archive.build(made.zipapp)
    return made


def begun(agent: Installed, job: str = "one") -> None:
    """A job that waits for the end of the device's hold."""
    assert agent.say("hold", "set", "on patrol")["ok"]
    words = ("activate", RELEASE, "--wait-hold", "600")
    answer = agent.say("--detach", "--request", job, *words)
    assert answer["data"] == {"job": job, "state": "running", "joined": False}
    agent.wait_until_at_work(job)


def test_job_outlives_its_caller_and_the_agents_file(agent: Installed) -> None:
    kept = agent.zipapp.read_bytes()
    begun(agent)
    with agent.start("result", "one", "--wait", "60") as waiting:
        time.sleep(0.5)
        os.killpg(waiting.pid, signal.SIGHUP)
        os.killpg(waiting.pid, signal.SIGKILL)
    fresh = agent.folder / "agent.new"
    fresh.write_bytes(b"no agent at all")
    fresh.replace(agent.zipapp)
    copies = list((agent.root / "run/thor/agents").iterdir())
    assert [path.read_bytes() == kept for path in copies] == [True]
    agent.zipapp.write_bytes(kept)
    assert agent.say("result", "one")["data"]["state"] == "running"
    assert agent.say("hold", "clear")["ok"]
    found = agent.say("result", "one", "--wait", "60")["data"]
    assert (found["state"], found["exit_code"]) == ("done", 2)
    assert found["answer"]["error"]["code"] == "not_staged"


def test_job_that_is_told_to_end_has_an_answer(agent: Installed) -> None:
    begun(agent)
    os.kill(agent.unit_pid("one"), signal.SIGTERM)
    found = agent.say("result", "one", "--wait", "60")["data"]
    assert found["exit_code"] == 128 + signal.SIGTERM
    assert found["answer"]["error"]["code"] == "internal"


def test_killed_job_is_interrupted(agent: Installed) -> None:
    begun(agent)
    os.killpg(agent.unit_pid("one"), signal.SIGKILL)
    answer = agent.say("result", "one", "--wait", "60")
    assert answer["error"]["code"] == "interrupted"
    begun(agent, "two")
    os.killpg(agent.unit_pid("two"), signal.SIGKILL)


def test_two_calls_of_one_request_begin_one_job(agent: Installed) -> None:
    assert agent.say("hold", "set", "on patrol")["ok"]
    words = ("--detach", "--request", "one", "activate", RELEASE, "--wait-hold", "600")
    calls = [agent.start(*words) for _ in range(4)]
    answers = [json.loads(call.communicate(timeout=WAIT_SECONDS)[0])["data"] for call in calls]
    assert sorted(answer["joined"] for answer in answers) == [False, True, True, True]
    assert {answer["job"] for answer in answers} == {"one"}
    agent.wait_until_at_work("one")
    os.killpg(agent.unit_pid("one"), signal.SIGKILL)
