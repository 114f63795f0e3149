"""A soak on a device whose engine really answers HTTP: what it does, what it finds, and when it ends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.engine import Engine
from tests.support.soak_device import ACTIVATION, Containers
from tests.support.soak_device import Device as SoakDevice
from thorctl.agent.soak import record, watch
from thorctl.agent.state.journal import Journal, save_journal
from thorctl.agent.verbs import soak_work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


XID = "NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=VLLM::EngineCor, MMU Fault"


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_work, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(soak_work, "SLOW_LOOKS", 1)
    monkeypatch.setattr(soak_work, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.3)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny", pace=0.002) as running:
        yield running


class Device(SoakDevice):
    """A device and the double of its engine."""

    def __init__(self, root: Path, engine: Engine, **serve: Any) -> None:
        super().__init__(root, engine.port, **serve)
        self.engine = engine


@pytest.fixture
def device(tmp_path: Path, engine: Engine) -> Iterator[Device]:
    one = Device(tmp_path, engine)
    yield one
    one.end_trial()


def test_good_engine_is_worked_to_its_last_step_and_watched_further(device: Device) -> None:
    device.work(steps=60)
    found = device.until_state("done")
    assert found["steps"] >= 60
    assert (found["reason"], found["xid"], found["restarts"], found["failures"]) == (None, [], 0, 0)
    assert device.engine.generated >= 2 * 60
    assert all(body["ignore_eos"] and "priority" not in body for body in device.engine.requests)
    assert device.until(lambda _: device.engine.running == 0)["alive"]
    device.programs.kernel.append((XID, 2000))
    assert device.until_state("failed")["reason"] == f"GPU error in the kernel's log: {XID}"


def test_engine_that_is_healthy_and_never_generates_is_found(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HANG_SECONDS", 1.0)
    device.engine.mode = "silent"
    device.work()
    assert "its engine hangs: no token for" in device.until_state("failed")["reason"]


def test_hang_is_found_by_the_probe_while_others_keep_the_load_away(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HANG_SECONDS", 1.0)
    device.engine.mode, device.engine.others = "silent", 3
    device.work()
    assert "its engine hangs" in device.until_state("failed")["reason"]
    assert device.engine.requests[-1]["max_completion_tokens"] == 1


def test_slow_engine_is_found(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RATE_SECONDS", 0.5)
    device.work(steps=10**7, rate=10**6)
    assert "too slow" in device.until_state("failed")["reason"]
    device.until(lambda _: device.engine.running == 0)


def test_planted_xid_fails_and_one_of_before_the_trial_does_not(device: Device) -> None:
    device.programs.kernel.append((XID, 999))
    device.work(steps=10**7)
    assert device.until(lambda found: found["steps"] > 0)["xid"] == []
    device.programs.kernel.append((XID, 1000))
    found = device.until_state("failed")
    assert (found["xid"], found["reason"]) == ([XID], f"GPU error in the kernel's log: {XID}")


def test_restart_by_systemd_fails(device: Device) -> None:
    device.work(steps=10**7)
    device.programs.restarts = 1
    assert device.until_state("failed")["restarts"] == 1


def test_another_start_of_the_container_fails(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.work(steps=10**7)
    device.until(lambda found: found["steps"] > 0)
    monkeypatch.setattr(Containers, "started", "2026-11-30T10:05:00Z")
    assert "restarted 1 time" in device.until_state("failed")["reason"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("http_500", "a generation failed: HTTP 500"),
        ("error_in_stream", "EngineCore died"),
        ("dies_mid_stream", "a generation failed: "),
        ("no_done", "without [DONE]"),
    ],
)
def test_failed_generation_fails(device: Device, mode: str, words: str) -> None:
    device.engine.mode = mode
    device.work(steps=10**7)
    found = device.until_state("failed")
    assert words in found["reason"]
    assert found["failures"] >= 1


def test_engine_that_ended_is_named_before_its_broken_streams(device: Device) -> None:
    device.programs.unit = "failed"
    device.engine.mode = "dies_mid_stream"
    device.work(steps=10**7)
    assert device.until_state("failed")["reason"] == "its engine ended: unit failed"


def test_device_on_hold_is_not_worked(device: Device) -> None:
    device.say("hold", "set", "on patrol")
    device.work(steps=30)
    assert device.until(lambda found: found["paused_seconds"] > 0.3)["paused"] == "on hold: on patrol"
    assert device.engine.requests == []
    device.say("hold", "clear")
    device.until_state("done")


def test_hold_cancels_what_is_under_way(device: Device) -> None:
    device.engine.pace = 0.2
    device.work(steps=10**7)
    device.until(lambda _: device.engine.running >= 2)
    device.say("hold", "set", "on patrol")
    device.until(lambda _: device.engine.running == 0)
    found = device.until(lambda found: found["paused"] is not None)
    assert (found["state"], found["failures"]) == ("running", 0)


def test_requests_of_others_come_first(device: Device) -> None:
    device.engine.pace = 0.2
    device.work(steps=10**7)
    device.until(lambda _: device.engine.running >= 2)
    device.engine.others = 1
    device.until(lambda found: found["paused"] == "requests of other clients")
    device.until(lambda _: device.engine.running <= 1)  # the probe
    device.engine.others = 0
    found = device.until(lambda found: found["paused"] is None and device.engine.running >= 2)
    assert (found["state"], found["failures"]) == ("running", 0)


def test_priority_scheduling_is_used_where_the_profile_turns_it_on(tmp_path: Path, engine: Engine) -> None:
    device = Device(tmp_path, engine, **{"scheduling-policy": "priority"})
    engine.others = 5
    device.work(steps=30)
    device.until_state("done")
    priorities = {body.get("priority", 0) for body in engine.requests if body["max_completion_tokens"] > 1}
    assert priorities == {soak_work.LOW_PRIORITY}
    device.end_trial()


def test_one_sequence_stays_free_for_others(tmp_path: Path, engine: Engine) -> None:
    device = Device(tmp_path, engine, **{"max-num-seqs": 2, "max-model-len": 300})
    engine.pace = 0.1
    device.work(steps=10**7)
    device.until(lambda found: found["steps"] > 3)
    loads = [body for body in engine.requests if body["max_completion_tokens"] > 1]
    assert len(loads) == 1
    assert loads[0]["max_completion_tokens"] == 300 - soak_work.PROMPT_TOKENS
    device.end_trial()


def test_engine_without_statistics_is_not_worked_and_fails(device: Device) -> None:
    device.engine.mode = "no_stats"
    device.work("--pause-seconds", "1")
    assert "disable-log-stats" in device.until_state("failed")["reason"]
    assert all(body["max_completion_tokens"] == 1 for body in device.engine.requests)


def test_kernel_log_that_cannot_be_read_is_unknown(device: Device) -> None:
    device.programs.kernel = []
    device.work(steps=20)
    assert device.until_state("done")["xid"] is None


def test_it_goes_on_with_what_its_record_holds(device: Device) -> None:
    device.work(steps=10**7)
    before = device.until(lambda found: found["steps"] > 20)["steps"]
    device.end_trial()  # as a kill: the record stays
    save_journal(device.ctx, device.journal)
    assert device.start(steps=10**7)["steps"] >= before
    assert device.shown()["steps"] >= before
    assert device.start(steps=10**6)["steps"] == 0  # other figures: another soak


def test_start_begins_one_process_for_a_trial(device: Device) -> None:
    found = device.start()
    assert (found["state"], found["alive"], found["steps_wanted"]) == ("running", True, 50)
    (argv,) = device.programs.soaks.values()
    assert argv[-2:] == ["soak-work", str(ACTIVATION)]
    assert "Restart=on-failure" in argv
    device.start()
    assert list(device.programs.soaks) == [f"thor-soak-{ACTIVATION}"]


def test_commit_and_rollback_end_the_process(device: Device) -> None:
    device.start()
    device.ctx.files.write_json(
        device.ctx.paths.smoke_json,
        {"release": device.release, "passed": True, "at": "x", "tokens_per_second": 1.0}
        | {"activation": ACTIVATION},
    )
    device.done("commit")
    assert device.programs.soaks == {}
    assert device.say("status").json["soak"] is None


def test_status_shows_it(device: Device) -> None:
    assert device.say("status").json["soak"] is None
    device.start(steps=50)
    found = device.say("status").json["soak"]
    assert (found["steps"], found["steps_wanted"], found["concurrency"], found["alive"]) == (0, 50, 2, True)


def test_soak_of_another_trial_is_not_shown(device: Device) -> None:
    device.start()
    save_journal(device.ctx, dataclasses.replace(device.journal, activation=ACTIVATION + 1))
    assert device.shown() is None


def test_process_without_a_record_ends(device: Device) -> None:
    outcome = device.say("soak-work", "8")
    assert outcome.error is not None
    assert outcome.error.code == "bad_state"


@pytest.mark.parametrize("journal", [Journal(), Journal(state="committed", current="x")])
def test_only_a_trial_is_worked(device: Device, journal: Journal) -> None:
    if journal.current:
        journal = dataclasses.replace(journal, current=device.release)
    save_journal(device.ctx, journal)
    outcome = device.say("soak", "start")
    assert outcome.error is not None
    assert outcome.error.code == "bad_state"
    assert device.programs.soaks == {}


@pytest.mark.parametrize(
    "words",
    [("--steps", "0"), ("--concurrency", "0"), ("--concurrency", "65"), ("--minimum-rate", "0"),
     ("--pause-seconds", "-1")],
)  # fmt: skip
def test_bad_figures_are_refused(device: Device, words: tuple[str, ...]) -> None:
    outcome = device.say("soak", "start", *words)
    assert outcome.error is not None
    assert outcome.error.code == "bad_call"
    assert words[0] in outcome.error.message


def test_refusing_systemd_is_told(device: Device) -> None:
    device.programs.refuses = True
    outcome = device.say("soak", "start")
    assert outcome.error is not None
    assert "systemd did not start the soak" in outcome.error.message


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"asked": {}}', '{"activation": 7, "asked": null}'])
def test_torn_record_is_no_record(device: Device, text: str) -> None:
    device.ctx.paths.soak_json.parent.mkdir(parents=True, exist_ok=True)
    device.ctx.paths.soak_json.write_text(text)
    assert record.load(device.ctx) is None
    assert device.start()["steps"] == 0
