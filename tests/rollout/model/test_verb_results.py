"""What the answer to a verb makes of a device."""

from __future__ import annotations

import pytest

from tests.rollout.cases import NEW, NOW, OLD, Case, error, ok
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.policy import Wait

CASES = [
    Case("it can take it", {"phase": Phase.CHECKING}, "preflight", ok({"release": NEW}), Phase.STAGING),
    Case("can take what?", {"phase": Phase.CHECKING}, "preflight", ok({"release": OLD}), Phase.FAILED),
    Case(
        "Docker may just restart",
        {"phase": Phase.CHECKING},
        "preflight",
        error("preflight_failed"),
        Phase.CHECKING,
    ),
    Case(
        "it cannot take it",
        {"phase": Phase.CHECKING, "tries": 2},
        "preflight",
        error("preflight_failed"),
        Phase.FAILED,
        "about preflight_failed; nothing was changed on it",
    ),
    Case(
        "it went away while it was asked",
        {"phase": Phase.CHECKING},
        "preflight",
        error("device_unreachable", reached=False),
        Phase.ABSENT,
    ),
    Case(
        "a check that its agent does not know",
        {"phase": Phase.CHECKING},
        "preflight",
        error("bad_call"),
        Phase.FAILED,
        "bad_call",
    ),
    Case(
        "on hold, which is waited for",
        {"phase": Phase.READY},
        "activate",
        error("held", hold={"reason": "on patrol"}),
        Phase.HELD,
        "on patrol",
        {"wait": Wait(hold_seconds=60)},
    ),
    Case(
        "on hold for too long",
        {"phase": Phase.READY, "held_since": NOW - 60},
        "activate",
        error("held", hold={"reason": "on patrol"}),
        Phase.ABSENT,
        "on hold: on patrol",
        {"wait": Wait(hold_seconds=60)},
    ),
    Case(
        "and well",
        {"phase": Phase.SMOKING_PREVIOUS, "fault": "slow", "why": "slow"},
        "smoke",
        ok({"release": OLD, "passed": True}),
        Phase.FAILED,
        "slow, which passes its smoke test",
    ),
    Case(
        "and not well either",
        {"phase": Phase.SMOKING_PREVIOUS, "fault": "slow"},
        "smoke",
        error("smoke_failed"),
        Phase.FAILED,
        "smoke test failed too",
    ),
    Case(
        "and silent",
        {"phase": Phase.SMOKING_PREVIOUS},
        "smoke",
        error("device_unreachable", reached=False),
        Phase.ROLLED_BACK,
        "inconclusive",
    ),
    Case(
        "and busy",
        {"phase": Phase.SMOKING_PREVIOUS, "fault": "slow"},
        "smoke",
        error("busy"),
        Phase.SMOKING_PREVIOUS,
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
        Phase.UNKNOWN,
    ),
    Case("activated, it says nothing", {"phase": Phase.READY}, "activate", ok({}), Phase.UNKNOWN),
    Case(
        "the connection broke",
        {"phase": Phase.READY},
        "activate",
        error("device_unreachable", reached=False),
        Phase.UNKNOWN,
    ),
    Case(
        "activation failed",
        {"phase": Phase.READY},
        "activate",
        error("engine_died"),
        Phase.ROLLBACK_UNVERIFIED,
    ),
    Case("on hold in the last moment", {"phase": Phase.READY}, "activate", error("held"), Phase.ABSENT),
    Case("staged bytes are gone", {"phase": Phase.READY}, "activate", error("not_staged"), Phase.STAGING),
    Case(
        "gone again",
        {"phase": Phase.READY, "restaged": True},
        "activate",
        error("not_staged"),
        Phase.ROLLBACK_UNVERIFIED,
    ),
    Case(
        "committed",
        {"phase": Phase.PASSED},
        "commit",
        ok({"state": "committed", "release": NEW}),
        Phase.UPDATED,
    ),
    Case(
        "committed what?",
        {"phase": Phase.PASSED},
        "commit",
        ok({"state": "committed", "release": OLD}),
        Phase.UNKNOWN,
    ),
    Case(
        "commit refused for good",
        {"phase": Phase.PASSED, "tries": 3},
        "commit",
        error("smoke_missing"),
        Phase.ROLLING_BACK,
        "no result in 3",
    ),
    Case(
        "a rollback is never believed",
        {"phase": Phase.ROLLING_BACK},
        "rollback",
        ok({"state": "committed", "release": OLD}),
        Phase.ROLLBACK_UNVERIFIED,
    ),
    Case(
        "a rollback that another holds",
        {"phase": Phase.ROLLING_BACK},
        "rollback",
        error("leased"),
        Phase.ROLLING_BACK,
    ),
    Case(
        "for too long",
        {"phase": Phase.ROLLING_BACK, "refused_since": NOW - 600},
        "rollback",
        error("leased"),
        Phase.UNREACHABLE,
        "refused",
    ),
    Case(
        "smoke of another release",
        {"phase": Phase.TRIAL},
        "smoke",
        ok({"release": OLD, "passed": True}),
        Phase.ROLLING_BACK,
    ),
    Case(
        "our own smoke is still at work",
        {"phase": Phase.TRIAL, "tries": 3},
        "smoke",
        error("busy"),
        Phase.UNKNOWN,
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
        "so is what the device calls retriable",
        {"phase": Phase.STAGING},
        "stage",
        error("hub_limited", retriable=True, retry_after_seconds=120),
        Phase.STAGING,
    ),
    Case(
        "what it calls final is not",
        {"phase": Phase.STAGING},
        "stage",
        error("hub_clock", retriable=False),
        Phase.FAILED,
        "nothing was changed",
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
        error("leased", lease={"holder": "bob@desk", "reason": "rollout 20261124-1"}),
        Phase.STAGED,
    ),
    Case(
        "one by hand is not",
        {"phase": Phase.STAGED},
        "take",
        error("leased", lease={"holder": "bob@desk", "reason": "mine"}),
        Phase.ABSENT,
    ),
    Case("one that says nothing is not", {"phase": Phase.STAGED}, "take", error("leased"), Phase.ABSENT),
    Case(
        "recalled, and another has it",
        {"phase": Phase.ROLLBACK_REQUESTED, "changed": True},
        "take",
        error("leased"),
        Phase.ROLLBACK_FAILED,
        "keeps the new release",
        {"stopped": True},
    ),
    Case(
        "activated after the stop",
        {"phase": Phase.STAGED},
        "activate",
        ok({"state": "trial", "release": NEW}),
        Phase.ROLLING_BACK,
        "",
        {"stopped": True},
    ),
    Case(
        "committed after the stop, all return",
        {"phase": Phase.ROLLING_BACK},
        "commit",
        ok({"state": "committed", "release": NEW}),
        Phase.ROLLBACK_REQUESTED,
        "",
        {"stopped": True, "returns": True},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_after_an_answer(case: Case) -> None:
    case.check()


def test_a_rollback_that_another_s_lease_refuses_says_what_to_type() -> None:
    lease = {"holder": "ann@desk", "purpose": "by hand", "reason": "antenna", "expires_at": "12:30"}
    refusal = error("leased", lease=lease)
    device = {"phase": Phase.ROLLING_BACK, "fault": "slow", "refused_since": 0.0}
    words = "refused: leased by ann@desk until 12:30: antenna. ann@desk gives it back with `thorctl lease"
    Case("by hand", device, "rollback", refusal, Phase.UNREACHABLE, words).check()
