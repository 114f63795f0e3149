"""The executor over a real sshd: what it says to devices, and what it makes of their answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import STATUS, document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.inventory import devices as fleet
from thorctl.remote import detached
from thorctl.rollout.model.scheduler import Step
from thorctl.rollout.run.controller import Begun, Done
from thorctl.rollout.run.executor import DeviceExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW = "m-bbbbbbbbbbbb"
RELEASE = {"schema": 2, "id": NEW}
# A device that answers every verb with the words and the document that it was asked with.
ECHO = f"""
import json, os, pathlib, shlex, sys, time
words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
words = words[words.index("--holder"):]
stdin = sys.stdin.read()
jobs = pathlib.Path(__file__).parent / "jobs"
jobs.mkdir(exist_ok=True)
answer = json.loads({json.dumps(json.dumps(document("x", STATUS)))})
def said(of, **data):
    print(json.dumps(answer | {{"verb": of, "data": answer["data"] | data}}))
if "--detach" in words:
    job, verb = words[words.index("--request") + 1], words[7]
    kept = answer | {{"verb": verb, "data": {{"words": words[:2] + words[5:], "stdin": stdin}}}}
    (jobs / job).write_text(json.dumps(kept))
    said(verb, job=job, state="running", joined=False)
elif words[2] == "result":
    kept = json.loads((jobs / words[3]).read_text())
    said("result", job=words[3], verb=kept["verb"], state="done", progress=None, exit_code=0, answer=kept)
else:
    said(words[2], words=words, stdin=stdin)
"""

RESULT = 'elif words[2] == "result":'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture
def sshd(server: Sshd) -> Sshd:
    server.behave(ECHO)
    return server


def executor_of(sshd: Sshd, folder: Path, **variables: str) -> DeviceExecutor:
    inventory = sshd.inventory(folder / "hosts.yml", "thor-01", "thor-02", **variables)
    devices = fleet.load(inventory)
    return DeviceExecutor(devices, "ann@desk", {NEW: RELEASE}, {NEW: 600}, silence_seconds=5.0)


@pytest.fixture
def executor(sshd: Sshd, tmp_path: Path) -> Iterator[DeviceExecutor]:
    with executor_of(sshd, tmp_path) as made:
        yield made


def collected(executor: DeviceExecutor, count: int) -> dict[int, Done]:
    done: dict[int, Done] = {}
    until = time.monotonic() + 60
    while len(done) < count and time.monotonic() < until:
        done |= {one.number: one for one in executor.wait(1)}
    return done


LONG = ["--limit", "600"]
WORDS: list[tuple[str, list[str]]] = [
    ("look", ["status"]),
    ("take", ["lease", "take", "--reason", "rollout 1", "--ttl", "90"]),
    ("commit", ["commit", NEW]),
    ("review", ["review", NEW, "--seconds", "90"]),
    ("give", ["lease", "give"]),
    ("stage", ["--limit", "21600", "stage", "--release", "-"]),
    ("activate", [*LONG, "activate", NEW, "--deadline=90"]),
    ("smoke", ["--limit", "1800", "smoke", NEW]),
    ("rollback", [*LONG, "rollback", NEW, "--reason", "rollout 1"]),
]


def test_each_verb_and_its_words(executor: DeviceExecutor) -> None:
    steps = [Step(f"thor-0{1 + i % 2}", verb, NEW, 1, 90, "rollout 1") for i, (verb, _) in enumerate(WORDS)]
    executor.begin([Begun(number, step) for number, step in enumerate(steps)])
    done = collected(executor, len(WORDS))
    for number, (verb, words) in enumerate(WORDS):
        answer = done[number].answer
        assert answer.ok, answer.error
        assert answer.data["words"] == ["--holder", "ann@desk", *words]
        assert answer.data["stdin"] == (json.dumps(RELEASE) if verb == "stage" else "")
        assert answer.device == steps[number].device


def test_waiting_has_an_end(executor: DeviceExecutor) -> None:
    began = time.monotonic()
    assert executor.wait(0.2) == []
    assert time.monotonic() - began >= 0.2


def test_hold_is_passed_over_in_the_devices_own_words(executor: DeviceExecutor) -> None:
    hold = "--it's {{ 7 * 7 }} \u00e9 "
    executor.begin([Begun(1, Step("thor-01", "activate", NEW, 1, 900, "", hold))])
    answer = collected(executor, 1)[1].answer
    assert answer.data["words"][-3:] == [NEW, "--deadline=900", f"--over-hold={hold}"]


def test_time_limit_of_staging_is_the_inventorys(sshd: Sshd, tmp_path: Path) -> None:
    with executor_of(sshd, tmp_path, thor_artifacts_timeout_seconds="99") as executor:
        executor.begin([Begun(1, Step("thor-01", "stage", NEW))])
        answer = collected(executor, 1)[1].answer
    assert answer.data["words"][2:4] == ["--limit", "99"]


def test_preflight_gets_the_release_and_what_the_inventory_leaves_out(sshd: Sshd, tmp_path: Path) -> None:
    with executor_of(sshd, tmp_path, thor_preflight_skip="swap, l4t") as executor:
        executor.begin([Begun(1, Step("thor-01", "preflight", NEW))])
        answer = collected(executor, 1)[1].answer
    assert answer.data["words"][2:] == ["preflight", "--release", "-", "--skip", "swap,l4t"]
    assert json.loads(answer.data["stdin"]) == RELEASE


@pytest.mark.parametrize(("layouts", "code"), [([1], "agent_too_old"), ([1, 2], "release_invalid")])
def test_agent_that_cannot_read_the_release_is_told_apart(
    sshd: Sshd, executor: DeviceExecutor, layouts: list[int], code: str
) -> None:
    refused = document("preflight", {}, {"code": "release_invalid"})
    status = document("status", {**STATUS, "soak": None, "agent_layouts": layouts})
    sshd.behave(
        "import json, os, sys\n"
        "asked = 'preflight' in os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"print(json.dumps({refused!r} if asked else {status!r}))\n"
        "sys.exit(asked)\n"
    )
    executor.begin([Begun(1, Step("thor-01", "preflight", NEW))])
    error = collected(executor, 1)[1].answer.error
    assert error is not None
    assert error.code == code
    assert ("site.yml --limit thor-01" in error.remedy) == (code == "agent_too_old")


def test_progress_is_that_of_the_verb_at_work(sshd: Sshd, executor: DeviceExecutor) -> None:
    progress = {"verb": "stage", "phase": "image", "done_bytes": 1}
    tells = f"sys.stderr.write(json.dumps({{'progress': {progress!r}}}) + chr(10)); sys.stderr.flush()"
    sshd.behave(ECHO.replace(RESULT, f"{RESULT}\n    {tells}; time.sleep(2)"))
    executor.begin([Begun(1, Step("thor-01", "stage", NEW))])
    until = time.monotonic() + 30
    while executor.progress.get("thor-01", {}).get("done_bytes") != 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert collected(executor, 1)[1].answer.ok
    assert executor.progress == {}


def test_leaving_does_not_wait_for_a_long_verb(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(ECHO.replace(RESULT, f"{RESULT}\n    time.sleep(60)"))
    with executor_of(sshd, tmp_path) as executor:
        executor.begin([Begun(1, Step("thor-01", "stage", NEW))])
        assert executor.wait(3) == []
        began = time.monotonic()
    assert time.monotonic() - began < 15


def test_device_that_falls_silent_is_unreachable(
    sshd: Sshd, executor: DeviceExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "WAIT_SECONDS", 0)
    monkeypatch.setattr(detached, "ANSWER_SECONDS", 1.0)
    sshd.behave(ECHO.replace(RESULT, f"{RESULT}\n    time.sleep(60)"))
    executor.begin([Begun(1, Step("thor-01", "activate", NEW, 1, 90))])
    answer = collected(executor, 1)[1].answer
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == ("device_unreachable", False)


def test_a_step_that_cannot_even_be_asked_has_an_end(executor: DeviceExecutor) -> None:
    executor.begin([Begun(8, Step("thor-01", "rollback", "unknown"))])
    answer = collected(executor, 1)[8].answer
    assert answer.error is not None
    assert answer.error.code == "agent_garbage"


@pytest.mark.parametrize("verb", ["look", "stage", "activate", "give"])
def test_a_device_that_left_the_inventory_is_offline(executor: DeviceExecutor, verb: str) -> None:
    executor.begin([Begun(7, Step("thor-99", verb, NEW))])
    answer = collected(executor, 1)[7].answer
    assert answer.error is not None
    assert (answer.reached, answer.error.code) == (False, "device_unreachable")
    assert "inventory" in answer.error.message
