"""What an answer makes of a device: a table of what is rare, and must be right when it comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from thorctl.rollout.device import Device, Phase
from thorctl.rollout.outcome import ended, interrupted, resumed, stopped
from thorctl.rollout.policy import Speed, Wait
from thorctl.rollout.rules import Ended, Rules

OLD, NEW = "m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb"
RULES = Rules("ann@desk", 60, 600, Speed(), Wait())
NOW = 10_000.0
DEVICE = Device(
    "thor-01",
    NEW,
    before=OLD,
    since="1",
    had_release=True,
    baseline=40.0,
    staged=True,
    leased=True,
    began_at=NOW - 100,
    trial_from=NOW - 90,
    trial_seconds=3000,
)


def status(state: str, release: str | None, **changes: Any) -> dict[str, Any]:
    engine = {"unit": "active", "ready": True, "restarts": 0}
    return {"state": state, "release": release, "since": "2", "engine": engine, "lease": None, **changes}


@dataclass(frozen=True)
class Case:
    what: str
    device: dict[str, Any]
    verb: str
    end: Ended
    phase: Phase
    words: str = ""
    rules: dict[str, Any] = field(default_factory=dict)


def ok(data: dict[str, Any]) -> Ended:
    return Ended(NOW, True, data=data)


def error(code: str, *, reached: bool = True, **details: Any) -> Ended:
    return Ended(NOW, False, reached, code, f"about {code}", details=details)


LOST = {"phase": Phase.LOST, "fault": "babbles"}
CASES = [
    Case(
        "a commit that landed unheard",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("committed", NEW)),
        Phase.DONE,
    ),
    Case("committed though faulty", LOST, "look", ok(status("committed", NEW)), Phase.RETURNING),
    Case("not gone yet", {"phase": Phase.LEFT}, "look", ok(status("committed", NEW)), Phase.RETURNING),
    Case("still on trial though faulty", LOST, "look", ok(status("trial", NEW)), Phase.RETURNING),
    Case("back at last", LOST, "look", ok(status("committed", OLD)), Phase.BACK, f"serves {OLD}"),
    Case(
        "and well",
        {"phase": Phase.BACK, "fault": "slow", "why": "slow"},
        "smoke",
        ok({"release": OLD, "passed": True}),
        Phase.FAILED,
        "slow, which passes its smoke test",
    ),
    Case(
        "and not well either",
        {"phase": Phase.BACK, "fault": "slow"},
        "smoke",
        error("smoke_failed"),
        Phase.FAILED,
        "FAILS ITS SMOKE TEST TOO",
    ),
    Case(
        "and silent",
        {"phase": Phase.BACK},
        "smoke",
        error("device_unreachable", reached=False),
        Phase.RETURNED,
        "COULD NOT BE SEEN",
    ),
    Case("and busy", {"phase": Phase.BACK, "fault": "slow"}, "smoke", error("busy"), Phase.BACK),
    Case("back to nothing", LOST, "look", ok(status("empty", None)), Phase.FAILED, "serves nothing"),
    Case(
        "it will not go",
        {"phase": Phase.LEFT, "fault": "slow", "tries": 3},
        "look",
        ok(status("trial", NEW)),
        Phase.LOST,
        "did not go back in 3 attempts",
    ),
    Case(
        "somebody else's trial",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("trial", "m-cccccccccccc")),
        Phase.FAILED,
        "somebody else",
    ),
    Case(
        "a journal that cannot be read",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("?", None)),
        Phase.LOST,
        "cannot be read",
    ),
    Case("a status that says nothing", {"phase": Phase.NEW}, "look", ok({}), Phase.FAILED, "says nothing"),
    Case(
        "garbage at first sight",
        {"phase": Phase.NEW},
        "look",
        error("agent_garbage"),
        Phase.FAILED,
        "nothing was changed",
    ),
    Case(
        "a device that boots lets nobody in yet",
        {"phase": Phase.ABSENT},
        "look",
        error("auth_failed", reached=False),
        Phase.ABSENT,
        "offline",
    ),
    Case(
        "one that never let us in",
        {"phase": Phase.NEW},
        "look",
        error("auth_failed", reached=False),
        Phase.FAILED,
    ),
    Case(
        "a wrong host key is no absence",
        {"phase": Phase.NEW},
        "look",
        error("host_key_mismatch", reached=False),
        Phase.FAILED,
    ),
    Case(
        "garbage in doubt is asked again", {"phase": Phase.DOUBT}, "look", error("agent_garbage"), Phase.DOUBT
    ),
    Case(
        "garbage for too long",
        {"phase": Phase.DOUBT, "silent_since": NOW - 300},
        "look",
        error("agent_garbage"),
        Phase.LOST,
        "no usable answer for 300 s",
    ),
    Case(
        "the activation did not begin",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("committed", OLD, since="1")),
        Phase.STAGED,
    ),
    Case(
        "it went back by itself",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("committed", OLD)),
        Phase.BACK,
        "by itself",
    ),
    Case(
        "its trial ran out",
        {"phase": Phase.DOUBT, "trial_from": NOW - 3001},
        "look",
        ok(status("committed", OLD)),
        Phase.STAGED,
        "nobody watched",
    ),
    Case("still at work", {"phase": Phase.DOUBT}, "look", ok(status("activating", NEW)), Phase.DOUBT),
    Case(
        "at work for ever",
        {"phase": Phase.DOUBT, "began_at": NOW - 601},
        "look",
        ok(status("activating", NEW)),
        Phase.RETURNING,
        "",
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
        Phase.RETURNING,
        "in the soak",
    ),
    Case(
        "activated, as it says",
        {"phase": Phase.READY},
        "activate",
        ok({"state": "trial", "release": NEW}),
        Phase.TRIAL,
    ),
    Case(
        "activated, something else",
        {"phase": Phase.READY},
        "activate",
        ok({"state": "trial", "release": OLD}),
        Phase.DOUBT,
    ),
    Case("activated, it says nothing", {"phase": Phase.READY}, "activate", ok({}), Phase.DOUBT),
    Case(
        "the connection broke",
        {"phase": Phase.READY},
        "activate",
        error("device_unreachable", reached=False),
        Phase.DOUBT,
    ),
    Case("activation failed", {"phase": Phase.READY}, "activate", error("engine_died"), Phase.LEFT),
    Case("on hold in the last moment", {"phase": Phase.READY}, "activate", error("held"), Phase.ABSENT),
    Case("staged bytes are gone", {"phase": Phase.READY}, "activate", error("not_staged"), Phase.STAGING),
    Case("gone again", {"phase": Phase.READY, "tries": 1}, "activate", error("not_staged"), Phase.LEFT),
    Case(
        "committed", {"phase": Phase.PASSED}, "commit", ok({"state": "committed", "release": NEW}), Phase.DONE
    ),
    Case(
        "committed what?",
        {"phase": Phase.PASSED},
        "commit",
        ok({"state": "committed", "release": OLD}),
        Phase.DOUBT,
    ),
    Case(
        "commit refused for good",
        {"phase": Phase.PASSED, "tries": 3},
        "commit",
        error("smoke_missing"),
        Phase.RETURNING,
        "no result in 3",
    ),
    Case(
        "a rollback is never believed",
        {"phase": Phase.RETURNING},
        "rollback",
        ok({"state": "committed", "release": OLD}),
        Phase.LEFT,
    ),
    Case(
        "a rollback that another holds",
        {"phase": Phase.RETURNING},
        "rollback",
        error("leased"),
        Phase.RETURNING,
    ),
    Case(
        "for too long",
        {"phase": Phase.RETURNING, "refused_since": NOW - 600},
        "rollback",
        error("leased"),
        Phase.LOST,
        "refused",
    ),
    Case(
        "smoke of another release",
        {"phase": Phase.TRIAL},
        "smoke",
        ok({"release": OLD, "passed": True}),
        Phase.RETURNING,
    ),
    Case(
        "our own smoke is still at work",
        {"phase": Phase.TRIAL, "tries": 3},
        "smoke",
        error("busy"),
        Phase.DOUBT,
    ),
    Case(
        "a full disk is not tried again",
        {"phase": Phase.STAGING},
        "stage",
        error("disk_too_small"),
        Phase.FAILED,
        "nothing was changed",
    ),
    Case(
        "a download that broke off is",
        {"phase": Phase.STAGING},
        "stage",
        error("download_interrupted"),
        Phase.STAGING,
    ),
    Case(
        "not for ever",
        {"phase": Phase.STAGING, "tries": 2},
        "stage",
        error("download_interrupted"),
        Phase.FAILED,
    ),
    Case("staged what?", {"phase": Phase.STAGING}, "stage", ok({"release": OLD}), Phase.FAILED),
    Case(
        "a lease of a rollout is waited for",
        {"phase": Phase.STAGED},
        "take",
        error("leased", lease={"reason": "rollout 20261124-1"}),
        Phase.STAGED,
    ),
    Case(
        "one by hand is not",
        {"phase": Phase.STAGED},
        "take",
        error("leased", lease={"reason": "mine"}),
        Phase.ABSENT,
    ),
    Case("one that says nothing is not", {"phase": Phase.STAGED}, "take", error("leased"), Phase.ABSENT),
    Case(
        "recalled, and another has it",
        {"phase": Phase.RECALLED, "changed": True},
        "take",
        error("leased"),
        Phase.STUCK,
        "keeps the new release",
        {"stopped": True},
    ),
    Case(
        "in doubt when it stopped",
        {"phase": Phase.DOUBT},
        "look",
        ok(status("trial", NEW)),
        Phase.RETURNING,
        "",
        {"stopped": True},
    ),
    Case(
        "activated after the stop",
        {"phase": Phase.STAGED},
        "activate",
        ok({"state": "trial", "release": NEW}),
        Phase.RETURNING,
        "",
        {"stopped": True},
    ),
    Case(
        "committed after the stop, all return",
        {"phase": Phase.RETURNING},
        "commit",
        ok({"state": "committed", "release": NEW}),
        Phase.RECALLED,
        "",
        {"stopped": True, "returns": True},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_after_an_answer(case: Case) -> None:
    after = ended(replace(DEVICE, **case.device), case.verb, case.end, replace(RULES, **case.rules))
    assert after.phase is case.phase, after
    assert case.words in after.why


INTERRUPTED = {"activate": Phase.DOUBT, "smoke": Phase.DOUBT, "commit": Phase.DOUBT}


@pytest.mark.parametrize("verb", ["look", "stage", "take", "activate", "smoke", "commit", "rollback", "give"])
def test_a_step_whose_end_nobody_saw(verb: str) -> None:
    assert interrupted(replace(DEVICE, phase=Phase.READY), verb).phase is INTERRUPTED.get(verb, Phase.READY)


RESUMED = {
    Phase.LEASED: Phase.STAGED,
    Phase.MEASURE: Phase.STAGED,
    Phase.READY: Phase.STAGED,
    Phase.TRIAL: Phase.DOUBT,
    Phase.SOAKING: Phase.DOUBT,
    Phase.PASSED: Phase.DOUBT,
    Phase.LOST: Phase.DOUBT,
    Phase.STUCK: Phase.RECALLED,
}


@pytest.mark.parametrize("phase", list(Phase))
def test_another_controller_takes_over(phase: Phase) -> None:
    after = resumed(replace(DEVICE, phase=phase, due=NOW + 999, tries=3), NOW)
    assert after.phase is RESUMED.get(phase, phase)
    assert (after.due, after.tries) == (0, 0)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("returns", [False, True])
def test_a_stop_leaves_nobody_on_trial_or_prepared(phase: Phase, returns: bool) -> None:
    after = stopped(replace(DEVICE, phase=phase, changed=True), returns=returns).phase
    assert after not in {Phase.LEASED, Phase.READY, Phase.TRIAL, Phase.SOAKING, Phase.PASSED}
    if phase is Phase.DONE:
        assert after is (Phase.RECALLED if returns else Phase.DONE)


def test_the_baseline_is_that_of_the_release_that_serves() -> None:
    def prepared(smoke: dict[str, Any] | None) -> float | None:
        lease = {"holder": "ann@desk", "reason": "rollout 1"}
        data = status("committed", OLD, lease=lease, last_smoke=smoke)
        after = ended(replace(DEVICE, phase=Phase.LEASED, baseline=None), "look", ok(data), RULES)
        assert after.phase is (Phase.MEASURE if after.baseline is None else Phase.READY)
        return after.baseline

    good = {"release": OLD, "passed": True, "tokens_per_second": 41.0}
    assert prepared(good) == 41.0
    assert prepared({**good, "release": NEW}) is None
    assert prepared({**good, "passed": False}) is None
    assert prepared({**good, "tokens_per_second": None}) is None
    assert prepared(None) is None
