"""rollout, history: what an operator says of a rollout and sees of it, over a real store."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.rollout.fleets import Fleet
from tests.support.documents import copy_of_deploy, lock_document
from tests.support.doubles.answers import STATUS
from tests.support.doubles.sshd import running_sshd
from thorctl.cli.history import log_files
from thorctl.cli.main import run
from thorctl.cli.rollout.find import check_alone, check_unfinished
from thorctl.cli.rollout.run import ended_gently
from thorctl.errors import ThorError
from thorctl.release import profile
from thorctl.result import Exit, Result
from thorctl.rollout.run.controller import Engine
from thorctl.rollout.run.controller_lock import folder_of, only_one
from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.store.rollouts import Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def thorctl(*words: str) -> Result:
    result = run([*words])
    assert result is not None
    return result


def kept(fleet: Fleet) -> str:
    """Puts a model rollout into the store, as far as it has come."""
    with opened() as db:
        made = rollouts.put(db, fleet.rollout)
        before = db.execute("SELECT count(*) FROM rollout_log").fetchone()[0]
        lines = [
            replace(line, rollout=made.id, step=line.step and line.step + before)
            for line in fleet.record.lines
        ]
        rollouts.append(db, lines)
    return made.id


def half_way(**changes: Any) -> Fleet:
    """A rollout whose controller died in its first wave."""
    fleet = Fleet.of("well", "well", "well", **changes)
    fleet.start()
    while fleet[1].state != "trial":
        assert fleet.engine
        fleet.engine.turn()
    fleet.kill()
    return fleet


def test_without_a_rollout() -> None:
    assert "No rollout yet" in str(thorctl("history").view)
    result = thorctl("rollout", "status")
    assert [error.code for error in result.errors] == ["rollout_unknown"]
    assert "thorctl rollout start" in result.errors[0].remedy


def test_status_of_the_newest_or_of_a_named_one() -> None:
    first, second = Fleet.of("well", "well", "well"), half_way()
    first.run()
    one, two = kept(first), kept(second)
    assert thorctl("rollout", "status").data["id"] == two
    data = thorctl("rollout", "status", one).data
    assert (data["status"], data["counts"]["well"]) == ("finished", 3)
    assert thorctl("rollout", "status", two).data["status"] == "interrupted"
    unknown = thorctl("rollout", "status", "20000101-1")
    assert one in unknown.errors[0].remedy


def test_watching_tells_what_happened_and_ends_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet.run()
    kept(fleet)
    result = thorctl("rollout", "status", "--watch", "--json")
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert (events[0], events[-1]) == ("started", "ended")
    assert (result.line, result.data["status"]) == (True, "finished")
    thorctl("rollout", "status", "--watch")
    assert "thor-03: committed" in capsys.readouterr().out


def test_orders_are_recorded_and_obeyed() -> None:
    fleet = half_way()
    rollout = kept(fleet)
    paused = thorctl("rollout", "pause", "--reason", "lunch")
    assert (paused.exit_code, paused.data["status"]) == (0, "paused")
    assert "lunch" in paused.data["reason"]
    with opened() as db:
        last = rollouts.log(db, rollout)[-1]
    assert (last.kind, last.run) == ("paused", "order")


def test_only_what_asks_can_be_approved() -> None:
    fleet = Fleet.of(*["well"] * 3, approve="after_canary")
    fleet.run()
    rollout = kept(fleet)
    assert thorctl("rollout", "status").data["status"] == "waits for approval"
    approved = thorctl("rollout", "approve", "--yes")
    assert approved.data["status"] == "interrupted"  # nobody works on it
    assert approved.data["next"] == f"thorctl rollout resume {rollout}"
    nothing = thorctl("rollout", "approve", "--yes")
    assert [error.code for error in nothing.errors] == ["nothing_to_approve"]


@pytest.mark.parametrize("verb", ["pause", "approve", "abort"])
def test_nothing_can_be_said_to_one_that_has_ended(verb: str) -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet.run()
    kept(fleet)
    result = thorctl("rollout", verb)
    assert (result.errors[0].code, result.exit_code) == ("rollout_ended", Exit.USAGE)


def test_an_ended_one_is_not_resumed() -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet.run()
    kept(fleet)
    result = thorctl("rollout", "resume", "--yes")
    assert (result.data["status"], result.exit_code, result.errors) == ("finished", Exit.SUCCESS, ())


def test_resume_of_a_stopped_one_names_the_devices_and_a_new_start() -> None:
    fleet = Fleet.of("smoke_fails", "well", "well")
    fleet.run()
    rollout = kept(fleet)
    result = thorctl("rollout", "resume", "--yes")
    assert (result.errors[0].code, result.exit_code) == ("rollout_ended", Exit.USAGE)
    assert "stopped" in result.errors[0].message
    assert f"thorctl history show {rollout}" in result.errors[0].remedy
    assert "thor-01 thor-02 thor-03`" in result.errors[0].remedy


def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    rollout = kept(half_way())
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-01: , thor-02: , thor-03: }}")
    with only_one(rollout):
        result = thorctl("-i", str(inventory), "rollout", "resume", "--yes")
        assert thorctl("rollout", "status").data["status"] == "running"
    assert (result.errors[0].code, result.exit_code) == ("rollout_at_work", Exit.LEASED)


def test_one_that_was_overtaken_is_not_resumed() -> None:
    first, second = kept(half_way()), kept(half_way())
    result = thorctl("rollout", "resume", first, "--yes")
    assert (result.errors[0].code, result.exit_code) == ("rollout_overtaken", Exit.USAGE)
    assert second in result.errors[0].message


def test_two_rollouts_are_not_at_work_on_one_device() -> None:
    first = kept(half_way())
    with opened() as db, only_one(first):
        check_alone(db, {"thor-09"})
        with pytest.raises(ThorError, match=f"Rollout {first}") as caught:
            check_alone(db, {"thor-02", "thor-09"})
    assert caught.value.exit_code == Exit.LEASED


def test_the_history_of_a_rollout_and_of_a_device(store: Path) -> None:
    fleet = Fleet.of("smoke_fails", "well", "well")
    fleet.run()
    rollout = kept(fleet)
    (listed,) = thorctl("history").data["rollouts"]
    assert (listed["id"], listed["status"], listed["counts"]["failed"]) == (rollout, "stopped", 1)
    shown = thorctl("history", "show")  # the newest, as with its id
    assert shown.data == thorctl("history", "show", rollout).data
    assert [event["event"] for event in shown.data["events"]][-2:] == ["stopped", "ended"]
    assert "canary" in str(shown.view)

    log = folder_of(rollout) / "abc-001-stage" / "devices" / "thor-01.log"
    log.parent.mkdir(parents=True)
    log.write_text("what the playbook said")
    device = thorctl("history", "show", rollout, "thor-01", "--logs")
    assert device.data["logs"] == [str(log)]
    assert "what the playbook said" in str(device.view)
    smoke = [step for step in device.data["steps"] if step["verb"] == "smoke" and step["ok"] is False]
    assert [step["code"] for step in smoke] == ["smoke_failed"]
    assert json.dumps(device.data)
    unknown = thorctl("history", "show", rollout, "thor-09")
    assert unknown.errors[0].code == "device_unknown"
    assert store.stat().st_mode & 0o777 == 0o700


def test_logs_of_a_device_come_in_the_order_of_their_runs(store: Path) -> None:
    assert store
    names = ("zz-001-stage", "zz-002-stage", "aa-001-stage")
    for name in names:
        log = folder_of("20261130-1") / name / "devices" / "thor-01.log"
        log.parent.mkdir(parents=True)
        log.write_text("")
        os.utime(log, (1e9 - len(name) - names.index(name),) * 2)  # the clock was set back meanwhile
    assert [file.parts[-3] for file in log_files("20261130-1", "thor-01", ["zz", "aa"])] == list(names)


def test_history_shows_the_log_of_an_engine_that_died() -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet.run()
    rollout = kept(fleet)
    details = {"log": ["Traceback (most recent call last):", "ValueError: \x1b[2Jno weights"]}
    line = Line(
        rollout, "2026-11-30T10:00:00Z", "ann", "r", "step_ended", "thor-01", verb="activate", ok=False
    )
    with opened() as db:
        rollouts.append(db, [replace(line, message="it died", data={"details": details})])
    without = str(thorctl("history", "show", rollout, "thor-01").view)
    told = str(thorctl("history", "show", rollout, "thor-01", "--logs").view)
    assert "no weights" not in without
    assert "The engine's log, as `activate` ended" in told
    assert "[2Jno weights" in told
    assert "\x1b[2J" not in told


ASKED = """
import json, os, sys
asked = os.environ["SSH_ORIGINAL_COMMAND"]
status = json.loads({status!r})
if asked.endswith("status"):
    answer = {{"verb": "status", "data": status}}
else:
    verb = asked.split()[-3]
    assert verb in {{"plan", "preflight"}} and asked.endswith("--release -"), asked
    release = json.load(sys.stdin)["id"]
    sizes = {{"download_bytes": 7, "free_bytes": 9, "required_bytes": 8}}
    data = {{"release": release, "already": "absent", **sizes}}
    answer = {{"verb": verb, "data": data}}
print(json.dumps({{"schema": 1, "ok": True, "changed": False, "error": None, **answer}}))
"""


def test_what_is_paused_and_still_at_work_goes_on_when_it_is_resumed() -> None:
    """It finishes the devices in hand; told meanwhile, it goes on, and nobody else does."""
    rollout = kept(half_way())
    with only_one(rollout):
        thorctl("rollout", "pause")
        assert thorctl("rollout", "status").data["next"] == f"thorctl rollout resume {rollout}"
        resumed = thorctl("rollout", "resume", "--yes")
        assert (resumed.exit_code, resumed.data["status"]) == (0, "running")
    with opened() as db:
        assert rollouts.log(db, rollout)[-1].kind == "unpaused"


def test_one_that_is_leaving_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that was taken by a process which hears nothing more: who resumes it works on it himself."""
    fleet = Fleet.of("well", "well", "well")
    fleet.turn_until("soaking")
    fleet.record.order(fleet.world, "paused")
    fleet.to_the_end()
    fleet.record.order(fleet.world, "left")
    rollout = kept(fleet)
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-01: , thor-02: , thor-03: }}")
    monkeypatch.setattr(Engine, "run", lambda self, **_: self.state)
    leaving = only_one(rollout)
    leaving.__enter__()
    threading.Timer(0.5, leaving.__exit__, (None, None, None)).start()
    result = thorctl("-i", str(inventory), "rollout", "resume", "--yes")
    assert result.errors == ()
    with opened() as db:
        assert "unpaused" not in {line.kind for line in rollouts.log(db, rollout)}


def test_an_interrupted_one_that_holds_devices_is_not_begun_over() -> None:
    first = kept(half_way())
    with opened() as db:
        check_unfinished(db, {"thor-02", "thor-03"})  # it never touched those
        with pytest.raises(ThorError, match="holds thor-01") as caught:
            check_unfinished(db, {"thor-01", "thor-09"})
    assert (caught.value.code, caught.value.exit_code) == ("rollout_unfinished", Exit.LEASED)
    for command in (f"`thorctl rollout resume {first}`", f"`thorctl rollout abort {first}`"):
        assert command in caught.value.remedy


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """The words before the verb: a project with a locked profile, three devices that answer."""
    project = tmp_path_factory.mktemp("planned")
    deploy = copy_of_deploy(project)
    (deploy / "locks").mkdir()
    lock = lock_document(profile.load(deploy, "tiny-qwable"))
    (deploy / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(lock))
    with running_sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        sshd.behave(ASKED.format(status=json.dumps(STATUS)))
        names = ("thor-01", "thor-02", "thor-03")
        inventory = sshd.inventory(
            project / "hosts.yml",
            *names,
            thor_device_class="simulated-container",
            thor_profile="tiny-qwable",
        )
        yield "--project", str(project), "-i", str(inventory)


def test_a_plan_asks_every_device_and_changes_nothing(planned: tuple[str, ...]) -> None:
    result = thorctl(*planned, "rollout", "plan", "tiny-qwable", "--canary", "2", "--soak", "30")
    plan = result.data["plan"]
    assert [wave["devices"] for wave in plan["waves"]] == [("thor-01", "thor-02"), ("thor-03",)]
    assert [wave["soak_seconds"] for wave in plan["waves"]] == [30, 30]
    assert {one["before"] for one in plan["devices"]} == {STATUS["release"]}
    assert plan["download_bytes"] == 21
    assert plan["seconds"] is None
    assert "3 devices in 2 waves" in str(result.view)
    dry = thorctl(*planned, "rollout", "start", "tiny-qwable", "thor-03", "--dry-run")
    assert [one["name"] for one in dry.data["plan"]["devices"]] == ["thor-03"]
    with opened() as db:
        assert rollouts.newest(db) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("no-such-profile",), "profile_unknown"),
        (("tiny-qwable", "thor-09"), "device_unknown"),
        (("tiny-qwable", "--policy", "hasty"), "policy_unknown"),
        (("tiny-qwable", "--canary", "3"), "policy_canary_is_all"),
        (("tiny-qwable", "--policy", "one-by-one", "--stop-at", "4"), "policy_never_stops"),
    ],
)
def test_what_cannot_be_planned_is_not_begun(
    planned: tuple[str, ...], words: tuple[str, ...], code: str
) -> None:
    result = thorctl(*planned, "rollout", "start", *words, "--yes")
    assert [error.code for error in result.errors] == [code]
    assert result.errors[0].remedy
    with opened() as db:
        assert rollouts.newest(db) == []


def held(answers: str) -> str:
    return answers.replace("if asked", 'status["hold"] = {{"reason": "on patrol"}}\nif asked', 1)


def test_a_hold_is_passed_over_by_name_and_only_one_that_is_there(
    planned: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("rollout", "start", "tiny-qwable", "--yes", "--over-hold")
    free = thorctl(*planned, *words, "thor-02")
    assert [(error.code, error.device) for error in free.errors] == [("not_held", "thor-02")]
    unknown = thorctl(*planned, *words, "thor-09")
    assert [error.code for error in unknown.errors] == ["device_unknown"]
    assert "thor-01, thor-02, thor-03" in unknown.errors[0].remedy
    with opened() as db:
        assert rollouts.newest(db) == []


def test_a_rollout_at_work_is_told_of_a_hold_that_is_passed_over(tmp_path: Path) -> None:
    rollout = kept(half_way())
    (tmp_path / "sshd").mkdir()
    with running_sshd(tmp_path / "sshd") as sshd, only_one(rollout):
        sshd.behave(held(ASKED).format(status=json.dumps(STATUS)))
        inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01", "thor-02", "thor-03")
        result = thorctl("-i", str(inventory), "rollout", "resume", "--over-hold", "thor-02", "--yes")
        assert result.exit_code == 0, result.errors
    with opened() as db:
        line = rollouts.log(db, rollout)[-1]
    assert (line.kind, line.device, line.data) == ("over_hold", "thor-02", {"hold": "on patrol"})
    assert "overridden by" in line.message
    told = str(thorctl("history", "show", rollout, "thor-02").view)
    assert "thor-02: its hold is overridden by" in told


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_controller_that_is_told_to_end_says_so_in_the_record(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = kept(Fleet.of("well", "well", "well"))
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-01: , thor-02: , thor-03: }}")
    before = signal.getsignal(signal.SIGTERM)

    def told_to_end(self: Engine, **_: object) -> None:
        self.start()
        signal.raise_signal(signal.Signals[name])

    monkeypatch.setattr(Engine, "run", told_to_end)
    result = thorctl("-i", str(inventory), "rollout", "resume", "--yes")
    assert (result.errors[0].code, result.exit_code) == ("rollout_interrupted", 130)
    assert f"thorctl rollout resume {rollout}" in result.errors[0].remedy
    with opened() as db:
        assert [line.kind for line in rollouts.log(db, rollout)] == ["started", "paused", "left"]
    assert thorctl("rollout", "status").data["next"] == f"thorctl rollout resume {rollout}"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_controller_under_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_gently():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_device_that_left_the_inventory_keeps_no_rollout_from_its_end(tmp_path: Path) -> None:
    rollout = kept(half_way(wait={"silence_seconds": 1}))
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-09: }}")
    result = thorctl("-i", str(inventory), "rollout", "abort", "--yes")
    assert result.exit_code == Exit.ERROR
    assert result.data["status"] == "aborted, with devices that need attention"
    with opened() as db:
        why = [line.message for line in rollouts.log(db, rollout, device="thor-01") if line.ok is False]
    assert why[-1] == "It is no longer in the inventory."
