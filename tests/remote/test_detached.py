"""Detached verbs over a real sshd: with the real agent behind it, and with devices that break or lie."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.earlier import BEFORE_CONTRACT
from tests.support.doubles.agent_process import Installed, installed
from tests.support.doubles.answers import document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.inventory import devices as fleet
from thorctl.remote import detached
from thorctl.remote.call import Call
from thorctl.remote.connections import Connections
from thorctl.remote.detached import Task, run_call, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thorctl.inventory.devices import Device
    from thorctl.remote.answer import Answer

pytestmark = pytest.mark.slow

RELEASE = "x-0123456789ab"
ACTIVATE = Call("activate", (RELEASE, "--wait-hold", "600"))
# Runs the real agent; the file `once` may hold what happens the first time that it is asked.
AGENT = """
import os, pathlib, shlex, subprocess, sys
words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
words = words[words.index("/usr/local/bin/thor-agent") + 1:]
once = pathlib.Path({once!r})
trouble = once.read_text() if once.exists() and words[2:3] == ["--detach"] else ""
once.unlink(missing_ok=bool(trouble) or not once.exists())
environment = {{**os.environ, "PATH": {path!r} + ":" + os.environ["PATH"]}}
if trouble == "cut":
    subprocess.run([*{command!r}, *words], env=environment, stdout=subprocess.DEVNULL)
    os.kill(os.getppid(), 9)
os.execve(sys.executable, [*{command!r}, *words], environment)
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def device(sshd: Sshd) -> Device:
    (found,) = fleet.load(sshd.inventory(sshd.key.parent / "hosts.yml", "thor-01"))
    return found


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path) -> Iterator[Installed]:
    """The real agent behind the sshd, on hold; activations that wait for its end are ended afterwards."""
    made = installed(tmp_path / "device")
    once = str(tmp_path / "once")
    sshd.behave(AGENT.format(command=made.command[:-2], path=str(made.bin), once=once))
    assert made.say("hold", "set", "on patrol")["ok"]
    yield made
    made.say("hold", "clear")
    for unit in made.units.iterdir():
        try:
            os.killpg(int(unit.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "WAIT_SECONDS", 2)
    monkeypatch.setattr(detached, "ANSWER_SECONDS", 20.0)
    monkeypatch.setattr(detached, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(detached, "PROGRESS_SECONDS", 0)
    monkeypatch.setattr(detached, "PAUSES", (0.2,))


def beside(work: Callable[[], Answer]) -> tuple[threading.Thread, list[Answer]]:
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    return thread, answers


def one(device: Device, call: Call = ACTIVATE, **options: Any) -> Answer:
    task = Task(device, call, "ann@desk", **{"silence_seconds": 60.0, **options})
    (answer,) = run_tasks([task])
    return answer


def events(agent: Installed) -> list[str]:
    text = (agent.root / "var/lib/thor/events.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [line["what"] for line in lines if line["verb"] == "activate"]


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def only_job(agent: Installed) -> str:
    """The name of the one job there is, once it runs."""
    jobs = agent.root / "run/thor/private/jobs"
    wait_until(lambda: jobs.exists() and bool(list(jobs.iterdir())))
    (job,) = (path.name for path in jobs.iterdir())
    agent.wait_until_at_work(job)
    return job


def assert_not_staged_once(answer: Answer, agent: Installed) -> None:
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == ("not_staged", True), answer.error
    assert events(agent) == ["begin", "end"]


def cut(sshd: Sshd) -> None:
    """Every connection breaks; the sshd goes on listening."""
    children = subprocess.run(
        ["pgrep", "-P", str(sshd.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def logins(sshd: Sshd) -> int:
    return sshd.log.read_text().count("Accepted publickey")


def test_answer_comes_though_the_connection_breaks(sshd: Sshd, device: Device, agent: Installed) -> None:
    thread, answers = beside(lambda: one(device))
    only_job(agent)
    time.sleep(1)
    cut(sshd)
    assert agent.say("hold", "clear")["ok"]
    thread.join(60)
    assert_not_staged_once(answers[0], agent)


def test_call_whose_answer_was_lost_begins_nothing_twice(
    device: Device, agent: Installed, tmp_path: Path
) -> None:
    (tmp_path / "once").write_text("cut")
    thread, answers = beside(lambda: one(device))
    only_job(agent)
    assert agent.say("hold", "clear")["ok"]
    thread.join(60)
    assert_not_staged_once(answers[0], agent)


def test_second_controller_joins_after_the_first_was_killed(
    sshd: Sshd, device: Device, agent: Installed
) -> None:
    program = (
        "from pathlib import Path; from thorctl.inventory import devices;"
        "from thorctl.remote.call import Call; from thorctl.remote.detached import Task, run_tasks;"
        f"(device,) = devices.load(Path({str(sshd.key.parent / 'hosts.yml')!r}));"
        f"run_tasks([Task(device, Call('activate', {ACTIVATE.words!r}), 'ann@desk')])"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as first:
        job = only_job(agent)
        first.kill()
    sshd.asked.write_text("")
    thread, answers = beside(lambda: one(device))
    wait_until(lambda: f"result {job}" in sshd.asked.read_text())
    assert only_job(agent) == job
    assert agent.say("hold", "clear")["ok"]
    thread.join(60)
    assert_not_staged_once(answers[0], agent)


def test_killed_job_is_interrupted(device: Device, agent: Installed) -> None:
    thread, answers = beside(lambda: one(device))
    os.killpg(agent.unit_pid(only_job(agent)), signal.SIGKILL)
    thread.join(60)
    error = answers[0].error
    assert error is not None
    assert error.code == "interrupted"
    assert "thorctl status thor-01" in error.remedy


def test_device_that_is_away_at_the_beginning_is_not_waited_for(sshd: Sshd, device: Device) -> None:
    os.kill(sshd.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = one(replace(device, connect_timeout=1), silence_seconds=600.0)
    finally:
        os.kill(sshd.pid, signal.SIGCONT)
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == ("device_unreachable", False)
    assert time.monotonic() - began < 60


def test_device_that_stays_away_is_unreachable(sshd: Sshd, device: Device, agent: Installed) -> None:
    thread, answers = beside(lambda: one(device, silence_seconds=2.0))
    only_job(agent)
    os.kill(sshd.pid, signal.SIGSTOP)
    cut(sshd)
    thread.join(60)
    os.kill(sshd.pid, signal.SIGCONT)
    error = answers[0].error
    assert error is not None
    assert (error.code, answers[0].reached) == ("device_unreachable", False)
    assert "activate continues there meanwhile" in error.remedy


# Devices that answer by a table: the words before the verb's name, and what is printed.
ANSWERS = """
import json, os, shlex, sys, time
words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
detach, asked = "--detach" in words, "result" in words
"""


def said(verb: str, data: dict[str, Any]) -> str:
    return f"print(json.dumps({document(verb, data)!r}))"


BEGUN = f"if detach: {said('activate', {'job': 'one', 'state': 'running', 'joined': False})}\n"
DONE = {"job": "one", "verb": "activate", "state": "done", "progress": None, "exit_code": 0}
GOOD = document("activate", {"release": RELEASE, "state": "trial"})

LIES: dict[str, dict[str, Any]] = {
    "another job": {**DONE, "job": "two", "answer": GOOD},
    "another verb": {**DONE, "verb": "stage", "answer": GOOD},
    "the answer of another verb": {**DONE, "answer": document("smoke", {})},
    "no answer": {**DONE, "answer": None},
    "no exit code": {**DONE, "exit_code": None, "answer": GOOD},
    "an exit code that does not fit": {**DONE, "exit_code": 1, "answer": GOOD},
    "an answer of another schema": {**DONE, "answer": {**GOOD, "schema": 7}},
    "a state that there is not": {**DONE, "state": "finished", "answer": GOOD},
    "nothing": {},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lie_in_a_result_is_garbage(sshd: Sshd, device: Device, lie: dict[str, Any]) -> None:
    sshd.behave(ANSWERS + BEGUN + f"else: {said('result', lie)}")
    error = one(device).error
    assert error is not None
    assert error.code == "agent_garbage"


@pytest.mark.parametrize("job", [None, 7, "", "../one", "a b", "$(id)", "x" * 65])
def test_name_of_a_job_that_is_none_is_garbage(sshd: Sshd, device: Device, job: object) -> None:
    sshd.behave(ANSWERS + said("activate", {"job": job, "state": "running"}))
    error = one(device).error
    assert error is not None
    assert error.code == "agent_garbage"


def test_truth_is_believed(sshd: Sshd, device: Device) -> None:
    sshd.behave(ANSWERS + BEGUN + f"else: {said('result', {**DONE, 'answer': GOOD})}")
    answer = one(device)
    assert answer.ok, answer.error
    assert answer.data == {"release": RELEASE, "state": "trial"}


def test_device_that_drips_is_given_up(sshd: Sshd, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "ANSWER_SECONDS", 1.0)
    drip = "  while True:\n    sys.stdout.write('{'); sys.stdout.flush(); time.sleep(0.1)"
    sshd.behave(f"{ANSWERS}{BEGUN}else:\n{drip}")
    began = time.monotonic()
    answer = one(device, silence_seconds=5.0)
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == ("device_unreachable", False)
    assert time.monotonic() - began < 30


def test_device_that_never_tells_an_end_is_given_up(
    sshd: Sshd, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "END_SECONDS", 1.0)
    running = {"job": "one", "verb": "activate", "state": "running", "progress": None}
    sshd.behave(ANSWERS + BEGUN + f"else: {said('result', running)}")
    error = one(device, seconds=1.0).error
    assert error is not None
    assert error.code == "agent_timeout"


def test_agent_before_detached_verbs_is_called_attached(sshd: Sshd, device: Device) -> None:
    old = BEFORE_CONTRACT.text("answer-detach.json")
    sshd.behave(
        ANSWERS
        + f"if detach: print({old!r}); sys.exit(2)\n"
        + "assert words[-4:] == ['activate', " + ", ".join(map(repr, ACTIVATE.words)) + "]\n"
        + f"print(json.dumps({GOOD!r}))"
    )  # fmt: skip
    answer = one(device)
    assert answer.ok, answer.error
    assert answer.data["state"] == "trial"


def test_progress_is_told_and_other_lines_are_not(sshd: Sshd, device: Device) -> None:
    lines = [
        '{"progress": {"verb": "activate", "phase": "start"}}',
        '{"progress": {"phase": 7}}',
        '{"progress": 7}',
        '{"progress"',
        "thor-agent: hello",
        "[" * 9,
    ]
    write = "; ".join(f"sys.stderr.write({line!r} + chr(10))" for line in lines)
    sshd.behave(ANSWERS + BEGUN + f"else: {write}; {said('result', {**DONE, 'answer': GOOD})}")
    told: list[object] = []
    task = Task(device, ACTIVATE, "ann@desk")
    (answer,) = run_tasks([task], on_progress=lambda name, known: told.append((name, known["phase"])))
    assert answer.ok, answer.error
    assert told == [("thor-01", "start")]


def test_calls_share_one_connection_until_it_breaks(sshd: Sshd, device: Device) -> None:
    sshd.behave("import json; print(json.dumps({'schema': 1, 'verb': 'hold', 'ok': True, 'data': {}}))")

    async def calls() -> list[bool]:
        connections = Connections()
        call = Call("hold", ("show",))
        found = await asyncio.gather(*(run_call(device, call, connections) for _ in range(8)))
        cut(sshd)
        found += [await run_call(device, call, connections) for _ in range(2)]
        await connections.close()
        return [answer.ok for answer in found]

    before = logins(sshd)
    done = asyncio.run(calls())
    assert done[:8] == [True] * 8
    assert done[-1] is True
    assert logins(sshd) - before in {2, 3}


def test_idle_connections_are_closed(sshd: Sshd, device: Device) -> None:
    sshd.behave("import json; print(json.dumps({'schema': 1, 'verb': 'hold', 'ok': True, 'data': {}}))")

    async def calls() -> None:
        connections = Connections(idle_seconds=0.2)
        for _ in range(2):
            assert (await run_call(device, Call("hold", ("show",)), connections)).ok
            await asyncio.sleep(1)

    before = logins(sshd)
    asyncio.run(calls())
    assert logins(sshd) - before == 2
