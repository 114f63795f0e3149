"""Plans: a table of policies and fleets with the waves that come of them, and what holds for every plan."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollout.policies import policy
from thorctl import __version__
from thorctl.errors import ThorError
from thorctl.protocol.identity import Identity
from thorctl.rollout.model.waves import Candidate
from thorctl.rollout.plan import Plan, Rates, Seen, from_document, make, together

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NEW, OLD = "m-bbbbbbbbbbbb", "m-aaaaaaaaaaaa"


def fleet(count: int, sites: str = "ab") -> list[Candidate]:
    """thor-01 … on sites a, b, a, b …; every third one is labelled `night`."""
    return [
        Candidate(f"thor-{i:02}", NEW, sites[(i - 1) % len(sites)], ("night",) if i % 3 == 0 else ())
        for i in range(1, count + 1)
    ]


def planned(count: int, there: tuple[str, ...] = (), **changes: Any) -> Plan:
    seen = {name: Seen(True, "committed", NEW, True, 0) for name in there}
    return make(fleet(count), policy(**changes), seen, {}, NOW)


def numbers(plan: Plan) -> list[list[int]]:
    return [[int(name.removeprefix("thor-")) for name in wave.devices] for wave in plan.waves]


WAVES: list[tuple[str, int, dict[str, Any], list[list[int]]]] = [
    ("one device", 1, {"errors": {"stop_at_devices": 1}}, [[1]]),
    ("canary and rest", 4, {}, [[1], [2, 3, 4]]),
    ("percent is rounded down", 10, {"canary": {"percent": 19}}, [[1], [2, 3, 4, 5, 6, 7, 8, 9, 10]]),
    ("of all", 8, {"waves": [{"percent": 50}, {"rest": True}]}, [[1], [2, 3, 4, 5], [6, 7, 8]]),
    ("by number", 6, {"waves": [{"count": 2}, {"rest": True}]}, [[1], [2, 3], [4, 5, 6]]),
    ("by site", 6, {"waves": [{"site": "b"}, {"rest": True}]}, [[1], [2, 4, 6], [3, 5]]),
    ("each site", 6, {"waves": [{"each": "site"}]}, [[1], [2, 4, 6], [3, 5]]),
    ("by label", 6, {"waves": [{"label": "night"}, {"rest": True}]}, [[1], [3, 6], [2, 4, 5]]),
    ("named canary", 4, {"canary": {"devices": ["thor-03"]}}, [[3], [1, 2, 4]]),
    ("canary by label", 4, {"canary": {"label": "night"}}, [[3], [1, 2, 4]]),
    ("ordered by site", 6, {"order": "site"}, [[1], [3, 5, 2, 4, 6]]),
    (
        "a wave of those gone before",
        4,
        {"canary": {"site": "b"}, "waves": [{"site": "b"}, {"rest": True}]},
        [[2, 4], [1, 3]],
    ),
    ("a small fleet's share is none", 3, {"waves": [{"percent": 25}, {"rest": True}]}, [[1], [2, 3]]),
    ("more than there are", 3, {"waves": [{"count": 9}, {"rest": True}]}, [[1], [2, 3]]),
]


@pytest.mark.parametrize(("what", "count", "changes", "expected"), WAVES, ids=[case[0] for case in WAVES])
def test_waves(what: str, count: int, changes: dict[str, Any], expected: list[list[int]]) -> None:
    assert numbers(planned(count, **changes)) == expected


def test_machine_of_two_names_is_planned_once() -> None:
    seen = {f"thor-0{i}": Seen(True, "committed", OLD, True, 0) for i in range(1, 5)}
    seen["thor-03"] = replace(seen["thor-03"], same_as="thor-01")
    seen["thor-01"] = replace(seen["thor-01"], identity=Identity("thor-01", "a" * 16, "7"))
    plan = make(fleet(4), policy(canary={"count": 2}), seen, {}, NOW)
    assert numbers(plan) == [[1, 2], [4]]
    assert plan.same == (("thor-03", "thor-01"),)
    assert (plan.devices[0].machine, plan.devices[0].serial) == ("a" * 16, "7")
    assert from_document(json.loads(json.dumps(plan.document()))) == plan


def test_machine_of_two_names_with_different_releases_is_refused() -> None:
    one, two = fleet(2)
    seen = {"thor-02": Seen(True, same_as="thor-01")}
    with pytest.raises(ThorError, match="thor-02 and thor-01 are one machine") as caught:
        make([one, replace(two, release=OLD)], policy(), seen, {}, NOW)
    assert (caught.value.code, caught.value.exit_code) == ("machine_twice", 2)


REFUSED: list[tuple[str, int, dict[str, Any], str, str]] = [
    ("empty canary", 10, {"canary": {"percent": 5}}, "policy_empty_canary", "5 % of 10 rounds down to 0"),
    ("canary of all", 3, {"canary": {"count": 3}}, "policy_canary_is_all", "takes all of 3"),
    ("somebody left out", 5, {"waves": [{"count": 2}]}, "policy_leaves_out", "thor-04, thor-05"),
    ("an unknown device", 4, {"canary": {"devices": ["thor-09"]}}, "policy_selector", "'thor-09'"),
    ("an unknown label", 4, {"waves": [{"label": "day"}, {"rest": True}]}, "policy_selector", "label day"),
    ("an unknown site", 4, {"canary": {"site": "z"}}, "policy_selector", "site z"),
    ("a cap above the fleet", 4, {"errors": {"stop_at_devices": 5}}, "policy_never_stops", "only 4"),
]


@pytest.mark.parametrize(
    ("what", "count", "changes", "code", "words"), REFUSED, ids=[case[0] for case in REFUSED]
)
def test_refused(what: str, count: int, changes: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(ThorError) as caught:
        planned(count, **changes)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.remedy


def test_devices_that_are_there_already_are_left_alone() -> None:
    plan = planned(4, there=("thor-01", "thor-03"), errors={"stop_at_devices": 2})
    assert plan.there == ("thor-01", "thor-03")
    assert numbers(plan) == [[2], [4]]


def test_a_canary_that_is_there_already_is_no_canary() -> None:
    with pytest.raises(ThorError, match="no device to change"):
        planned(4, there=("thor-03",), canary={"devices": ["thor-03"]})


def test_a_whole_fleet_that_is_there_needs_no_wave() -> None:
    plan = planned(2, there=("thor-01", "thor-02"))
    assert (plan.waves, plan.devices, plan.download_bytes, plan.seconds) == ((), (), 0, 0)


@pytest.mark.parametrize(
    "seen",
    [
        Seen(True, "committed", OLD, True),
        Seen(True, "trial", NEW, True),
        Seen(True, "committed", NEW, False),
        Seen(True, "committed", NEW, None),
        Seen(),
    ],
)
def test_only_a_committed_release_that_serves_is_there(seen: Seen) -> None:
    plan = make(fleet(1), policy(errors={"stop_at_devices": 1}), {"thor-01": seen}, {}, NOW)
    assert plan.there == ()


def test_bytes_and_times_come_from_what_was_measured() -> None:
    seen = {one.name: Seen(True, "committed", OLD, True, 1000) for one in fleet(3)}
    rates = {one.name: Rates(100.0, 60.0, 20.0) for one in fleet(3)}
    plan = make(fleet(3), policy(parallel=1, stage_parallel=3), seen, rates, NOW)
    assert plan.download_bytes == 3000
    assert plan.stage_seconds == 10
    assert [wave.seconds for wave in plan.waves] == [80 + 60, 160 + 60]
    assert plan.seconds == plan.least_seconds == 10 + 140 + 220
    assert {(one.before, one.release) for one in plan.devices} == {(OLD, NEW)}


@pytest.mark.parametrize(
    "rates", [Rates(None, 60.0, 20.0), Rates(100.0, None, 20.0), Rates(100.0, 60.0, None), Rates()]
)
def test_what_was_never_measured_is_unknown(rates: Rates) -> None:
    seen = {one.name: Seen(True, "committed", OLD, True, 1000) for one in fleet(2)}
    known = {"thor-01": rates, "thor-02": Rates(100.0, 60.0, 20.0)}
    plan = make(fleet(2), policy(errors={"stop_at_devices": 1}), seen, known, NOW)
    assert plan.seconds is None
    assert plan.least_seconds is not None
    assert plan.least_seconds >= 2 * 60  # the soaks at the least


@pytest.mark.parametrize(
    ("layouts", "agent"), [(None, None), ((1,), __version__), ((1, 2), None)], ids=["unknown", "1", "1, 2"]
)
def test_agent_comes_first_where_theirs_does_not_read(
    layouts: tuple[int, ...] | None, agent: str | None
) -> None:
    devices = [replace(one, layout=2) for one in fleet(3)]
    seen = {devices[0].name: Seen(reached=True, layouts=layouts)}
    made = make(devices, policy(), seen, {}, NOW)
    assert [one.agent for one in made.devices] == [agent, None, None]
    assert from_document(json.loads(json.dumps(made.document()))) == made


def test_nothing_to_download_takes_no_time_at_any_rate() -> None:
    seen = {"thor-01": Seen(True, "committed", OLD, True, 0)}
    plan = make(fleet(1), policy(errors={"stop_at_devices": 1}), seen, {}, NOW)
    assert plan.stage_seconds == 0


def test_windows_say_when() -> None:
    windows = {
        "sites": {"a": {"zone": "Europe/Berlin", "open": ["22:00-05:00"]}},
        "default": {"zone": "Asia/Tokyo", "open": ["00:00-24:00"]},
    }
    plan = make(fleet(2), policy(windows=windows, errors={"stop_at_devices": 1}), {}, {}, NOW)
    assert [one.opens_at for one in plan.devices] == ["2026-11-25T21:00+00:00", None]


def test_approvals() -> None:
    def asks(approve: str) -> list[bool]:
        plan = planned(4, waves=[{"count": 1}, {"rest": True}], approve=approve)
        return [wave.approval for wave in plan.waves]

    assert asks("never") == [False, False, False]
    assert asks("after_canary") == [False, True, False]
    assert asks("each_wave") == [False, True, True]


def test_a_waves_own_soak_and_success() -> None:
    waves = [{"count": 1, "soak_seconds": 5, "success_percent": 50}, {"rest": True}]
    plan = planned(4, waves=waves, success_percent=80)
    assert [(wave.soak_seconds, wave.success_percent) for wave in plan.waves] == [
        (60, 100),
        (5, 50),
        (60, 80),
    ]


def test_jobs_in_lanes() -> None:
    assert together([3, 1, 1, 1], 2) == 3
    assert together([5, 5, 5], 10) == 5
    assert together([], 3) == 0
    assert together([1, None], 3) is None


shares = st.one_of(
    st.builds(lambda n: {"count": n}, st.integers(1, 30)),
    st.builds(lambda n: {"percent": n}, st.integers(1, 100)),
    st.sampled_from([{"site": "a"}, {"site": "b"}, {"site": "c"}, {"label": "night"}]),
)
last = st.sampled_from([{"rest": True}, {"each": "site"}])


wishes = st.fixed_dictionaries(
    {
        "canary": shares,
        "waves": st.tuples(st.lists(shares, max_size=4), last).map(lambda parts: [*parts[0], parts[1]]),
        "order": st.sampled_from(["inventory", "name", "site"]),
        "errors": st.just({"stop_at_percent": 50}),
    }
)


@given(count=st.integers(1, 40), wish=wishes, there=st.sets(st.integers(1, 40)))
def test_every_plan_takes_everybody_once_or_is_refused(
    count: int, wish: dict[str, Any], there: set[int]
) -> None:
    seen = {f"thor-{i:02}": Seen(True, "committed", NEW, True) for i in there}
    candidates = fleet(count, "abc")
    plan: Plan | str
    try:
        plan = make(candidates, policy(**wish), seen, {}, NOW)
    except ThorError as error:
        plan = error.code
    if isinstance(plan, str):
        assert plan.startswith(("policy_empty", "policy_canary", "policy_selector", "policy_invalid"))
        return
    inside = [name for wave in plan.waves for name in wave.devices]
    assert sorted([*inside, *plan.there]) == [one.name for one in candidates]
    assert all(wave.devices for wave in plan.waves)
    assert [wave.number for wave in plan.waves] == list(range(1, len(plan.waves) + 1))
    if len(inside) > 1:
        assert len(plan.waves[0].devices) < len(inside)
    assert plan == make(candidates, policy(**wish), seen, {}, NOW)
    assert from_document(json.loads(json.dumps(plan.document()))) == plan
