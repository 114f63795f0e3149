"""What becomes of a device's benchmark, and the card's table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.benchmarks import RELEASE, data, speeds
from thorctl.bench.card import table
from thorctl.bench.measurement import read
from thorctl.bench.verdict import Outcome, judge
from thorctl.release import profile
from thorctl.remote.answer import Answer
from thorctl.result import Problem
from thorctl.store.baselines import Baseline

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BASELINE = Baseline("thor-01", RELEASE, "2026-11-20T10:00:00+00:00", "ada@desk", data())


def outcome(
    found: dict[str, Any], baseline: Baseline | None = BASELINE, *, set_baseline: bool = False
) -> Outcome:
    answer = Answer("thor-01", object={"data": found})
    return judge(answer, baseline, tolerance=0.15, set_baseline=set_baseline)


def code(found: Outcome) -> str | None:
    return found.problem.code if found.problem else None


def test_the_first_becomes_the_baseline() -> None:
    first = outcome(data(), None)
    assert (code(first), first.keep) == (None, True)


def test_the_first_of_a_device_that_throttles_does_not() -> None:
    throttled = data(over_current_delta={"hwmon3/oc1": 2})
    assert (code(outcome(throttled, None)), outcome(throttled, None).keep) == ("over_current", False)
    wanted = outcome(throttled, None, set_baseline=True)
    assert (code(wanted), wanted.keep) == (None, True)


def test_as_fast_as_before_it_stays_the_old_baseline() -> None:
    second = outcome(data(**speeds(40.0, 330.0, 250.0)))
    assert (code(second), second.keep) == (None, False)
    assert second.comparison is not None


def test_slower_is_a_failure_that_names_both_figures_and_what_changed() -> None:
    slow = outcome(
        data(
            **speeds(33.0, 329.0, 200.0),
            before__temperature_celsius={"tj": 83.0},
            over_current_delta={"hwmon3/oc1": 4},
        )
    )
    assert (code(slow), slow.keep) == ("bench_slower", False)
    assert slow.problem is not None
    for words in (
        "more than 15%",
        "single stream 33.0 tok/s instead of 41.2 (-20%)",
        "different prompts 200.0 tok/s instead of 254.0",
        "83 °C (baseline: 44 °C)",
        "4 over-current events",
    ):
        assert words in slow.problem.message
    assert "identical" not in slow.problem.message
    assert "--set-baseline" in slow.problem.remedy


def test_another_power_mode_is_refused_a_comparison() -> None:
    found = outcome(data(before__power_mode="MAXN", **speeds(1.0, 1.0, 1.0)))
    assert code(found) == "bench_incomparable"
    assert found.problem is not None
    assert "MAXN, the baseline's 120W" in found.problem.message
    kept = outcome(data(before__power_mode="MAXN"), set_baseline=True)
    assert (code(kept), kept.keep) == (None, True)


def test_a_baseline_that_cannot_be_read_is_no_baseline_and_no_success() -> None:
    broken = Baseline("thor-01", RELEASE, "t", "ada", {"measured": {}})
    assert (code(outcome(data(), broken)), outcome(data(), broken).keep) == ("baseline_unreadable", False)
    assert outcome(data(), broken, set_baseline=True).keep


def test_garbage_is_no_measurement() -> None:
    found = outcome({"release": RELEASE}, None)
    assert (code(found), found.keep, found.measurement) == ("measurement_unreadable", False, None)
    assert outcome({"release": RELEASE}, None, set_baseline=True).keep is False


def test_what_the_agent_says_is_passed_on() -> None:
    error = Problem("busy", "m", "r", "thor-01")
    found = judge(Answer("thor-01", error=error), None, tolerance=0.15, set_baseline=True)
    assert (found.problem, found.keep) == (error, False)


def card_table(name: str, **changes: Any) -> list[tuple[str, float | None, float | None, float | None]]:
    rows = table(read(data(**changes), "thor-01"), profile.load(DEPLOY, name).card)
    return [(row.what, row.device, row.model, row.source) for row in rows]


def test_the_cards_table_stands_beside_what_was_measured() -> None:
    assert card_table("qwable-v1-nvfp4a16") == [
        ("Single-stream decode (tok/s)", 41.2, 41.8, 30.3),
        ("Batched ×16, identical (tok/s)", 329.0, 330.8, 303.0),
        ("Batched ×16, different (tok/s)", 254.0, None, None),
        ("Time to first token (ms)", 61.0, None, None),
        ("On-disk size (GB)", 24.012, 24, 67),
    ]


def test_the_source_is_measured_against_its_own_column() -> None:
    assert [row[2:] for row in card_table("qwable-v1-bf16")] == [
        (30.3, None),
        (303.0, None),
        (None, None),
        (None, None),
        (67, None),
    ]


def test_of_fewer_streams_the_card_says_nothing() -> None:
    rows = card_table("qwable-v1-nvfp4a16", method__at_once=4)
    assert rows[1] == ("Batched ×4, identical (tok/s)", 329.0, None, None)


def test_a_profile_without_a_card_has_one_column() -> None:
    assert {row[2:] for row in card_table("tiny-qwable")} == {(None, None)}


@pytest.mark.parametrize(("device", "share"), [(41.8, 1.0), (20.9, 0.5)])
def test_the_share_is_of_the_cards_figure_for_this_model(device: float, share: float) -> None:
    changes = {"measured__single__decode_tokens_per_second": device}
    rows = table(read(data(**changes), "thor-01"), profile.load(DEPLOY, "qwable-v1-nvfp4a16").card)
    assert rows[0].share == share
    assert rows[2].share is None
