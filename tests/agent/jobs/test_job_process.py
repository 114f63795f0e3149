"""A job as processes: it outlives its caller, the agent's file, and not a SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.agent_process import WAIT_SECONDS, Installed, installed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

RELEASE = "x-0123456789ab"


@pytest.fixture
def agent(tmp_path: Path) -> Installed:
    return installed(tmp_path)


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
