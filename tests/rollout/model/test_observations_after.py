"""What a look makes of a device that was activated: its own word on what became of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.rollout.cases import DEVICE, NEW, NOW, OLD, RULES, Case, error, ok, status
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.transitions import ended

LOST = {"phase": Phase.UNREACHABLE, "fault": "babbles"}
CASES = [
    Case(
        "a commit that landed unheard",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("committed", NEW)),
        Phase.UPDATED,
    ),
    Case("committed though faulty", LOST, "look", ok(status("committed", NEW)), Phase.ROLLING_BACK),
    Case(
        "not gone yet",
        {"phase": Phase.ROLLBACK_UNVERIFIED},
        "look",
        ok(status("committed", NEW)),
        Phase.ROLLING_BACK,
    ),
    Case("still on trial though faulty", LOST, "look", ok(status("trial", NEW)), Phase.ROLLING_BACK),
    Case("back at last", LOST, "look", ok(status("committed", OLD)), Phase.SMOKING_PREVIOUS, f"serves {OLD}"),
    Case("back to nothing", LOST, "look", ok(status("empty", None)), Phase.FAILED, "serves nothing"),
    Case(
        "it will not go",
        {"phase": Phase.ROLLBACK_UNVERIFIED, "fault": "slow", "tries": 3},
        "look",
        ok(status("trial", NEW)),
        Phase.UNREACHABLE,
        "the rollback failed in 3 attempts",
    ),
    Case(
        "somebody else's trial",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("trial", "m-cccccccccccc")),
        Phase.FAILED,
        "another caller began a trial",
    ),
    Case(
        "a journal that cannot be read",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("?", None)),
        Phase.UNREACHABLE,
        "cannot be read",
    ),
    Case(
        "garbage in doubt is asked again",
        {"phase": Phase.UNKNOWN},
        "look",
        error("agent_garbage"),
        Phase.UNKNOWN,
    ),
    Case(
        "garbage for too long",
        {"phase": Phase.UNKNOWN, "silent_since": NOW - 300},
        "look",
        error("agent_garbage"),
        Phase.UNREACHABLE,
        "no usable answer for 300 s",
    ),
    Case(
        "the activation did not begin",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("committed", OLD, since="1")),
        Phase.STAGED,
    ),
    Case(
        "it rolled back by itself",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("committed", OLD)),
        Phase.SMOKING_PREVIOUS,
        "before its deadline",
    ),
    Case(
        "its trial ran out",
        {"phase": Phase.UNKNOWN, "trial_from": NOW - 3001},
        "look",
        ok(status("committed", OLD)),
        Phase.STAGED,
        "unobserved",
    ),
    Case("still at work", {"phase": Phase.UNKNOWN}, "look", ok(status("activating", NEW)), Phase.UNKNOWN),
    Case(
        "at work for ever",
        {"phase": Phase.UNKNOWN, "began_at": NOW - 601},
        "look",
        ok(status("activating", NEW)),
        Phase.ROLLING_BACK,
        "",
    ),
    Case(
        "a status that cannot be decoded, once in a soak",
        {"phase": Phase.SOAKING, "soak_from": NOW - 600, "silent_since": NOW - 10**6},
        "look",
        error("agent_garbage"),
        Phase.SOAKING,
    ),
    Case(
        "a status that cannot be decoded, again in a soak",
        {"phase": Phase.SOAKING, "soak_from": NOW - 600, "strikes": 1},
        "look",
        ok(status("trial", NEW) | {"engine": {"unit": "active", "ready": True, "restarts": "none"}}),
        Phase.ROLLING_BACK,
        "in the soak: agent_garbage: Its status is invalid: engine.restarts: is text, not a whole number",
    ),
    Case(
        "no answer in a soak",
        {"phase": Phase.SOAKING, "soak_from": NOW - 600, "strikes": 1},
        "look",
        error("device_unreachable"),
        Phase.SOAKING,
    ),
    Case(
        "a soak seen to its end",
        {"phase": Phase.SOAKING, "soak_from": NOW - 60, "restarts": 0},
        "look",
        ok(status("trial", NEW)),
        Phase.PASSED,
    ),
    Case(
        "a soak not over",
        {"phase": Phase.SOAKING, "soak_from": NOW - 59, "restarts": 0},
        "look",
        ok(status("trial", NEW)),
        Phase.SOAKING,
    ),
    Case(
        "unwell once",
        {"phase": Phase.SOAKING, "soak_from": NOW - 60, "restarts": 0},
        "look",
        ok(status("trial", NEW, engine={"unit": "active", "ready": False, "restarts": 0})),
        Phase.SOAKING,
    ),
    Case(
        "unwell twice",
        {"phase": Phase.SOAKING, "soak_from": NOW - 60, "restarts": 0, "strikes": 1},
        "look",
        ok(status("trial", NEW, engine={"unit": "active", "ready": False, "restarts": 0})),
        Phase.ROLLING_BACK,
        "in the soak",
    ),
    Case(
        "in doubt when it stopped",
        {"phase": Phase.UNKNOWN},
        "look",
        ok(status("trial", NEW)),
        Phase.ROLLING_BACK,
        "",
        {"stopped": True},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_after_an_answer(case: Case) -> None:
    case.check()


def test_an_engine_that_died_at_the_first_look_of_its_soak_is_not_taken_for_one_that_never_did() -> None:
    dead = status("trial", NEW, engine={"unit": "active", "ready": False, "restarts": 0})
    back = status("trial", NEW, engine={"unit": "active", "ready": True, "restarts": 1})
    first = replace(DEVICE, phase=Phase.SOAKING, soak_from=NOW)
    second = ended(first, "look", ok(dead), RULES)
    assert (second.phase, second.restarts) == (Phase.SOAKING, 0)
    third = ended(second, "look", ok(back), RULES)
    assert (third.phase, "restarted 1 time in the soak" in third.why) == (Phase.ROLLING_BACK, True)


def test_a_way_back_that_is_not_whole_is_told_once_and_changes_no_verdict() -> None:
    engine = {"unit": "active", "ready": True, "restarts": 0}
    gone = {"release": OLD, "lacking": ["image r/e@sha256:1"]}
    first = replace(DEVICE, phase=Phase.SOAKING, soak_from=NOW, why="smoke passed")
    for told in (gone, gone):
        first = ended(first, "look", ok(status("trial", NEW, engine=engine, rollback=told)), RULES)
    assert first.phase is Phase.SOAKING
    assert first.why.count(f"a rollback to {OLD} is impossible without image r/e@sha256:1") == 1
    for unknown in (None, {"release": OLD, "lacking": None}, {"release": OLD, "lacking": []}, 7):
        quiet = replace(DEVICE, phase=Phase.SOAKING, soak_from=NOW, why="smoke passed")
        after = ended(quiet, "look", ok(status("trial", NEW, engine=engine, rollback=unknown)), RULES)
        assert (after.phase, after.why) == (Phase.SOAKING, "smoke passed")


def test_malformed_status_between_two_good_ones_does_not_end_a_soak() -> None:
    device = replace(DEVICE, phase=Phase.SOAKING, soak_from=NOW - 10, restarts=0)
    wrong = ended(device, "look", error("agent_garbage"), RULES)
    assert (wrong.phase, wrong.strikes, wrong.silent_since) == (Phase.SOAKING, 1, None)
    good = ended(wrong, "look", ok(status("trial", NEW)), RULES)
    assert (good.phase, good.strikes) == (Phase.SOAKING, 0)
