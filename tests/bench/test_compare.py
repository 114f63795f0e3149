"""A measurement and its baseline: what must be the same, what is slower, and what may be why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.benchmarks import data, speeds
from thorctl.bench.compare import compare
from thorctl.bench.measurement import read
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from thorctl.protocol.bench import Measurement


def measured(**changes: Any) -> Measurement:
    return read(data(**changes), "thor-01")


BASELINE = measured()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"before__power_mode": "MAXN"}, "the power mode is MAXN, the baseline's 120W"),
        ({"before__power_mode": None}, "the power mode is not known"),
        ({"before__clocks_locked": False}, "the clocks are not locked, the baseline's locked"),
        ({"before__clocks_locked": None}, "the clocks are not known, the baseline's locked"),
        (
            {"device_class": "jetson-t4000"},
            "the device class is jetson-t4000, the baseline's jetson-agx-thor",
        ),
        ({"machine": "ffff0000ffff0000"}, "it is another device of that name, or was reinstalled"),
        ({"machine": None}, "whether it is the same device or another of its name is unknown"),
        ({"method__at_once": 4}, "it measured 8 and 4 × 4 answers of 256 tokens, the baseline 8 and 4 × 16"),
        ({"method__tokens": 32}, "answers of 32 tokens"),
        ({"release": "other-0123456789ab"}, "the release is other-0123456789ab"),
    ],
)
def test_what_hinders_a_comparison_is_named(changes: dict[str, Any], why: str) -> None:
    found = compare(measured(**changes, **speeds(1, 1, 1)), BASELINE, 0.15)
    assert len(found.obstacles) == 1
    assert why in found.obstacles[0]
    assert (found.changes, found.slower) == ((), ())
    assert found.as_json()["comparable"] is False


def test_two_unknown_power_modes_are_not_the_same_one() -> None:
    unknown = measured(before__power_mode=None)
    assert compare(unknown, unknown, 0.15).obstacles == (
        "the power mode is not known, the baseline's not known",
    )
    without = measured(before__power_mode=None, power_modes=[])
    assert compare(without, without, 0.15).obstacles == ()
    untold = measured(before__power_mode=None, power_modes=None)
    assert compare(untold, untold, 0.15).obstacles


def test_a_class_without_power_modes_that_has_one_all_the_same() -> None:
    now = measured(power_modes=[], before__power_mode="MAXN")
    assert compare(now, measured(power_modes=[]), 0.15).obstacles


@pytest.mark.parametrize(
    ("now", "slower"),
    [
        ((41.2, 329.0, 254.0), []),
        ((35.1, 279.7, 215.9), []),
        ((35.0, 329.0, 254.0), ["single"]),
        ((41.2, 279.6, 215.8), ["identical", "different"]),
        ((400.0, 900.0, 900.0), []),
    ],
)
def test_slower_is_beyond_the_tolerance_in_any_of_the_three(
    now: tuple[float, float, float], slower: list[str]
) -> None:
    found = compare(measured(**speeds(*now)), BASELINE, 0.15)
    assert [one.what for one in found.slower] == slower
    assert [one.what for one in found.changes] == ["single", "identical", "different"]


def test_the_tolerance_is_the_callers() -> None:
    now = measured(**speeds(40.0, 329.0, 254.0))
    assert compare(now, BASELINE, 0.05).slower == ()
    assert [one.what for one in compare(now, BASELINE, 0.01).slower] == ["single"]
    assert compare(now, BASELINE, 0.01).slower[0].relative == pytest.approx(-0.0291, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"over_current_delta": {"hwmon3/oc1": 0, "hwmon3/oc2": 3}}, "3 over-current events"),
        ({"over_current_delta": None}, "over-current events can no longer be read"),
        ({"before__temperature_celsius": {"tj": 81.0}}, "hottest sensor before it 81 °C (baseline: 44 °C)"),
        ({"after__temperature_celsius": None}, "hottest sensor after it not known (baseline: 58 °C)"),
        ({"before__gpu_max_hertz": 612000000}, "GPU clock up to 612 MHz (baseline: 1386 MHz)"),
        ({"before__memory_hertz": None}, "memory clock not known (baseline: 4266 MHz)"),
        ({"before__l4t": "38.4.1"}, "L4T 38.4.1 (baseline: 38.4.0)"),
        ({"before__gpu_processes": ["VLLM::EngineCore", "Xorg"]}, "on the GPU VLLM::EngineCore, Xorg"),
    ],
)
def test_what_may_be_why_is_told(changes: dict[str, Any], words: str) -> None:
    found = compare(measured(**changes), BASELINE, 0.15)
    assert found.obstacles == ()
    assert len(found.conditions) == 1
    assert words in found.conditions[0]


def test_the_weather_is_no_reason() -> None:
    assert compare(measured(before__temperature_celsius={"tj": 47.9}), BASELINE, 0.15).conditions == ()


def test_clocks_that_are_known_of_neither_are_told() -> None:
    unknown = {"before__clocks_locked": None}
    found = compare(measured(**unknown), measured(**unknown), 0.15)
    assert found.obstacles == ()
    assert "clocks" in found.conditions[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"measured": {}},
        {"measured__single__decode_tokens_per_second": 0},
        {"measured__single__decode_tokens_per_second": "41"},
        {"measured__single__decode_tokens_per_second": float("nan")},
        {"measured__single__requests": 0},
        {"method": None},
        {"before": None},
        {"release": None},
    ],
)
def test_data_that_are_no_measurement_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ThorError) as failing:
        read(data(**changes), "thor-01")
    assert failing.value.code == "measurement_unreadable"
    assert next(iter(changes)).split("__")[0] in failing.value.message
