"""What each look makes of a soak's record: the engine's own counts, pauses, and every way to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from thorctl.agent.soak.record import DONE, FAILED, RUNNING, Asked, Record
from thorctl.agent.soak.watch import HANG_SECONDS, QUIET_SECONDS, RATE_SECONDS, Seen, Watch

ASKED = Asked(steps=1000, concurrency=4, minimum_rate=5.0, pause_seconds=600)
SEEN = Seen(
    at=100.0, tokens=0, iterations=0, requests=4, ours=4, pieces=0, working=True, hold="", unit="active",
    restarts=0,
)  # fmt: skip


def soak(*, priority: bool = False, **changes: Any) -> Watch:
    record = Record(7, "tiny-1", replace(ASKED, **changes), 0, 0, None)
    watch = Watch(record, priority=priority)
    watch.take(SEEN)
    return watch


def look(watch: Watch, at: float, **changes: Any) -> Record:
    changes = {"iterations": (changes["tokens"] or 0) // 4, **changes}
    watch.take(replace(SEEN, at=100.0 + at, pieces=int(at * 10), **changes))
    return watch.record


def test_steps_are_tokens_of_each_stream() -> None:
    watch = soak()
    record = look(watch, 10, tokens=400, iterations=104)
    assert (record.steps, record.rate, record.state) == (100, 10.0, RUNNING)
    assert look(watch, 100, tokens=4000, iterations=1040).state == DONE


def test_tokens_of_speculative_decoding_are_no_more_steps_than_there_were_passes() -> None:
    assert look(soak(), 10, tokens=400, iterations=40).steps == 40
    assert look(soak(), 10, tokens=400, iterations=None).steps == 100


def test_requests_of_others_work_the_engine_too() -> None:
    watch = soak()
    record = look(watch, 10, tokens=400, iterations=100, working=False, ours=0)
    assert (record.steps, record.worked_steps, record.rate) == (100, 0, None)


def test_counters_that_begin_anew_count_nothing_backwards() -> None:
    watch = soak()
    look(watch, 10, tokens=400, iterations=100)
    assert look(watch, 11, tokens=8, iterations=2).steps == 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"restarts": 1}, "restarted 1 time during"),
        ({"unit": "failed"}, "its engine ended: unit failed"),
        ({"unit": "activating", "restarts": 2}, "restarted 2 times"),
        ({"faults": ("HTTP 500: EngineCore died",)}, "a generation failed: HTTP 500"),
    ],
)
def test_engine_that_ended_fails_the_soak(changes: dict[str, Any], words: str) -> None:
    watch = soak()
    record = look(watch, 10, tokens=400, **changes)
    assert record.state == FAILED
    assert words in str(record.reason)
    assert not watch.works
    assert words in str(look(watch, 20, tokens=800).reason)  # for good


def test_gpu_error_fails_the_soak_also_after_its_last_step() -> None:
    watch = soak(steps=100)
    assert look(watch, 10, tokens=400).state == DONE
    watch.record.xid = ()
    assert look(watch, 11, tokens=400, ours=0).state == DONE
    watch.record.xid = ("NVRM: Xid (PCI:0000:01:00): 43, pid=7",)
    assert "Xid" in str(look(watch, 12, tokens=400, ours=0).reason)


def test_hang_is_no_token_though_requests_are_under_way() -> None:
    watch = soak()
    still = replace(SEEN, tokens=8, pieces=8)
    watch.take(replace(still, at=110))
    watch.take(replace(still, at=110 + HANG_SECONDS - 1))
    assert watch.record.state == RUNNING
    watch.take(replace(still, at=110 + HANG_SECONDS))
    assert "hangs: no token for 180 s" in str(watch.record.reason)


@pytest.mark.parametrize(
    "changes", [{"tokens": 9}, {"ours": 0}, {"pieces": 9}, {"pieces": 9, "tokens": None}]
)
def test_tokens_for_anybody_and_nothing_asked_for_are_no_hang(changes: dict[str, Any]) -> None:
    watch = soak()
    still = replace(SEEN, tokens=8, pieces=8, working=False)
    watch.take(replace(still, at=110))
    watch.take(replace(still, at=110 + HANG_SECONDS, **changes))
    assert watch.record.state == RUNNING


def test_too_slow_is_judged_once_it_has_worked_for_a_while() -> None:
    watch = soak()
    assert look(watch, RATE_SECONDS - 1, tokens=400, iterations=100).state == RUNNING
    record = look(watch, RATE_SECONDS, tokens=404, iterations=101)
    assert "too slow: 1.68 steps/s of 4 streams, at least 5" in str(record.reason)
    assert look(soak(), RATE_SECONDS, tokens=8000, iterations=2000).state == DONE


def test_pauses_do_not_make_an_engine_slow() -> None:
    watch = soak()
    for at in range(10, 500, 10):
        assert look(watch, at, tokens=0, hold="on patrol", working=False, ours=0).state == RUNNING
    assert (watch.record.rate, watch.record.paused) == (None, "on hold: on patrol")


def test_a_hold_puts_the_work_off_and_its_end_lets_it_go_on() -> None:
    watch = soak()
    assert look(watch, 1, tokens=4, hold="on patrol").paused == "on hold: on patrol"
    assert not watch.works
    look(watch, 31, tokens=4, hold="on patrol", working=False, ours=0)
    assert look(watch, 61, tokens=4, working=False, ours=0, requests=0).paused is None
    assert watch.works
    assert watch.record.paused_seconds == 60


def test_others_come_first_and_are_gone_for_a_while_before_it_goes_on() -> None:
    watch = soak()
    look(watch, 1, tokens=4, requests=5)
    assert watch.works  # the engine's counters lag behind the streams
    assert look(watch, 2, tokens=8, requests=5).paused == "requests of other clients"
    look(watch, 3, tokens=9, requests=0, ours=0, working=False)
    assert not watch.works
    look(watch, 2 + QUIET_SECONDS, tokens=9, requests=0, ours=0, working=False)
    assert watch.works


def test_with_priority_scheduling_the_engine_itself_puts_others_first() -> None:
    watch = soak(priority=True)
    for at in (1, 2, 3):
        look(watch, at, tokens=at, requests=9)
    assert watch.works


@pytest.mark.parametrize("changes", [{"requests": None}, {"tokens": None}])
def test_unknown_load_is_not_worked_and_fails_in_the_end(changes: dict[str, Any]) -> None:
    watch = soak(priority=True)
    assert "/metrics" in str(look(watch, 1, **{"tokens": 0, **changes}).paused)
    record = look(watch, 700, working=False, ours=0, **{"tokens": 0, **changes})
    assert (record.state, watch.works) == (FAILED, False)
    assert "it could not be put under load: 0 of 1000 steps" in str(record.reason)
