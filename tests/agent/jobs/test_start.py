"""Detached verbs on a device in memory: begun once, joined, refused, recorded, interrupted."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.agent.core.locking import locked
from thorctl.agent.jobs import record
from thorctl.protocol.decode import decode
from thorctl.protocol.jobs import Begun, Result
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    from tests.support.stateful_device import Device
    from thorctl.agent.core.outcome import AgentError

ANN, BOB = "ann@desk (rollout 20261125-1 5f3a90c1)", "bob@van"


def begin(device: Device, *words: str, request: str = "one", holder: str = ANN) -> Begun:
    data = device.done("--holder", holder, "--detach", "--request", request, *words)
    return decode(Begun, data)


def refused(device: Device, *words: str) -> AgentError:
    outcome = device.say(*words)
    assert outcome.error is not None
    return outcome.error


def work(device: Device, job: str = "one") -> dict[str, Any]:
    """What the job's unit does, to its end."""
    done = device.done("job", job)
    device.systemd.services = {one for one in device.systemd.services if not one.endswith(job)}
    return done


def asked(device: Device, job: str = "one", verb: str = "activate") -> Result:
    found = decode(Result, device.done("result", job))
    assert (found.job, found.verb) == (job, verb)
    return found


def answer_of(found: Result) -> dict[str, Any]:
    assert found.answer is not None
    return dict(found.answer)


def test_answer_is_that_of_an_attached_call(device: Device) -> None:
    release = device.release(1)
    begun = begin(device, "activate", release.id, "--deadline", "600")
    assert (begun.job, begun.state, begun.joined) == ("one", "running", False)
    assert device.journal().state == "empty", "nothing happens in the caller's process"
    assert asked(device).state == "running"
    assert work(device) == {"job": "one", "exit_code": 0}
    found = asked(device)
    assert (found.state, found.exit_code) == ("done", 0)
    answer = answer_of(found)
    assert (answer["verb"], answer["ok"]) == ("activate", True)
    assert answer["data"]["release"] == release.id
    assert device.done("status")["activated_by"] == ANN, "the job acts for who asked"


def test_failure_is_recorded_with_its_exit_code(device: Device) -> None:
    begin(device, "activate", "x-0123456789ab")
    work(device)
    found = asked(device)
    assert (found.state, found.exit_code) == ("done", 2)
    assert answer_of(found)["error"]["code"] == "not_staged"


def test_events_are_those_of_the_verb_alone(device: Device) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    work(device)
    asked(device)
    events = [json.loads(line) for line in device.paths.events.read_text().splitlines()]
    told = [(one["verb"], one["what"], one["holder"], one["purpose"]) for one in events]
    purpose = "rollout 20261125-1 5f3a90c1"
    assert told == [("activate", what, "ann@desk", purpose) for what in ("begin", "end")]
    assert events[0]["arguments"] == {"id": release.id, "deadline": 3600}


@pytest.mark.parametrize("ended", [False, True])
def test_same_request_again_begins_nothing(device: Device, *, ended: bool) -> None:
    release = device.release(1)
    words = ("activate", release.id)
    begin(device, *words)
    if ended:
        work(device)
    begun = begin(device, *words)
    assert (begun.job, begun.joined, begun.state) == ("one", True, "done" if ended else "running")
    assert device.systemd.begun == ["thor-job-activate-one"]


def test_another_request_for_the_same_joins_the_job_at_work(device: Device) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    begun = begin(device, "activate", release.id, request="two")
    assert (begun.job, begun.joined) == ("one", True)
    work(device)
    assert begin(device, "activate", release.id, request="three").job == "three", "the answer is of the past"


@pytest.mark.parametrize(
    ("holder", "words"),
    [(BOB, ("activate", "RELEASE")), (ANN, ("activate", "RELEASE", "--deadline", "9")), (ANN, ("smoke",))],
    ids=["another holder", "other arguments", "another verb"],
)
def test_busy_with_a_job_of_the_same_lock(device: Device, holder: str, words: tuple[str, ...]) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    words = tuple(word.replace("RELEASE", release.id) for word in words)
    error = refused(device, "--holder", holder, "--detach", "--request", "two", *words)
    assert (error.code, error.exit_code) == ("busy", 3)
    assert ANN in error.message
    assert (error.details["verb"], error.details["holder"]) == ("activate", ANN)


def test_stage_and_activate_run_side_by_side(device: Device) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    begin(device, "stage", "--release", "/nowhere", request="two")


def test_leased_to_another_is_refused_at_once(device: Device) -> None:
    device.done("--holder", BOB, "lease", "take", "--reason", "antenna")
    error = refused(device, "--holder", ANN, "--detach", "smoke")
    assert (error.code, error.exit_code) == ("leased", 3)
    assert BOB in error.message
    assert device.systemd.services == set()


def test_busy_with_an_attached_verb_is_the_answer(device: Device) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    owner = {"verb": "smoke", "holder": BOB, "pid": 7, "since": "now"}
    with locked(device.paths.locks / "lock", device.clock, owner):
        work(device)
    found = asked(device)
    assert found.exit_code == 3
    assert answer_of(found)["error"]["details"] == owner


def test_request_of_another_content_is_a_bad_call(device: Device) -> None:
    begin(device, "smoke")
    work(device)
    error = refused(device, "--holder", ANN, "--detach", "--request", "one", "smoke", "x-0123456789ab")
    assert error.code == "bad_call"


@pytest.mark.parametrize("name", ["../lease", "a b", "-x", "", "a" * 65, "a/b", "é", "a\n"])
def test_names_are_no_paths(device: Device, name: str) -> None:
    assert refused(device, "result", f"x{name}/..").code == "interrupted"
    if name:
        assert refused(device, "--detach", f"--request={name}", "smoke").code == "bad_call"
        assert refused(device, "job", "--", name).code == "bad_state"


@pytest.mark.parametrize(
    "words", [*([name] for name in VERBS if name in {"status", "commit", "gc"}), ["bench", "--dry-run"]]
)
def test_short_verbs_are_not_detached(device: Device, words: list[str]) -> None:
    assert refused(device, "--detach", *words).code == "bad_call"


def test_standard_input_is_kept_until_the_end(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'{"schema": 99}'
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    begin(device, "stage", "--release", "-")
    kept = device.paths.jobs / "one" / "document"
    assert kept.read_bytes() == content
    assert {path.stat().st_mode & 0o777 for path in (device.paths.jobs, kept.parent)} == {0o700}
    assert kept.stat().st_mode & 0o777 == 0o600
    work(device)
    assert not kept.exists()
    found = asked(device, verb="stage")
    assert answer_of(found)["error"]["code"] == "release_invalid"


def test_documents_of_two_requests_are_compared(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    for request, content, job in (("one", b"1", "one"), ("two", b"1", "one"), ("three", b"2", None)):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        words = ("--holder", ANN, "--detach", "--request", request, "stage", "--release", "-")
        if job is None:
            assert refused(device, *words).code == "busy"
        else:
            assert device.done(*words)["job"] == job


def test_killed_job_is_interrupted(device: Device) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    request = record.load(device.context("x"), "one")
    assert request is not None
    with record.working(device.context("x"), request):
        device.systemd.services.clear()
        assert asked(device).state == "running", "its process has the lock"
    error = refused(device, "result", "one")
    assert (error.code, error.details) == ("interrupted", {"job": "one", "verb": "activate"})
    again = refused(device, "--holder", ANN, "--detach", "--request", "one", "activate", release.id)
    assert again.code == "interrupted", "a request is worked once"
    assert refused(device, "job", "one").code == "bad_state"
    begin(device, "activate", release.id, request="two")


def test_request_that_never_began_can_be_said_again(device: Device) -> None:
    """The call died between the record and systemd."""
    release = device.release(1)
    begin(device, "activate", release.id)
    device.systemd.services.clear()
    assert begin(device, "activate", release.id).joined is False
    work(device)
    assert asked(device).exit_code == 0


def test_reboot_leaves_no_record(device: Device) -> None:
    begin(device, "smoke")
    device.systemd.power_cut()
    device.paths.run_dir.mkdir(parents=True)
    assert refused(device, "result", "one").code == "interrupted"


def test_progress_is_that_of_the_job(device: Device) -> None:
    begin(device, "smoke")
    ctx = device.context("smoke")
    request = record.load(ctx, "one")
    assert request is not None
    with record.working(ctx, request):
        ctx.progress.update("smoke", message="3 of 10")
        progress = asked(device, verb="smoke").progress
        assert progress is not None
        assert progress.message == "3 of 10"
        found = json.loads(device.paths.progress_json.read_text())
        device.paths.progress_json.write_text(json.dumps(found | {"pid": 1}))
        assert asked(device, verb="smoke").progress is None, "another verb's"


def test_wait_ends_with_the_job(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    release = device.release(1)
    begin(device, "activate", release.id)
    before = device.clock.slept
    assert device.done("result", "one", "--wait", "20")["state"] == "running"
    assert 20 <= device.clock.slept - before < 22
    device.clock.at(device.clock.slept + 5, lambda: work(device))
    before = device.clock.slept
    assert device.done("result", "one", "--wait", "200", "--progress", "1")["state"] == "done"
    assert device.clock.slept - before < 60
    assert capsys.readouterr().out == ""


def test_oldest_answers_are_forgotten(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEPT", 3)
    for number in range(6):
        begin(device, "smoke", request=f"job-{number}")
        work(device, f"job-{number}")
        device.clock.skip(1)
    assert sorted(path.name for path in device.paths.jobs.iterdir()) == [f"job-{n}" for n in (2, 3, 4, 5)]


def test_systemd_that_refuses_is_said(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    run = device.systemd.run

    def refusing(argv: Any, **options: Any) -> Any:
        done = run(argv, **options)
        return done if argv[0] != "systemd-run" else type(done)(tuple(argv), 1, "", "no space left")

    monkeypatch.setattr(device.systemd, "run", refusing)
    error = refused(device, "--detach", "smoke")
    assert error.code == "internal"
    assert "no space left" in error.message
