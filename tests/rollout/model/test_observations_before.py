"""What a look makes of a device that nothing was changed on yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollout.cases import DEVICE, NEW, OLD, RULES, Case, error, ok, status
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.transitions import ended

CASES = [
    Case(
        "another document of the target's id",
        {"phase": Phase.NEW},
        "look",
        ok(status("committed", NEW, release_sha256="f" * 64)),
        Phase.FAILED,
        "release_conflict",
        {"sha256": "b" * 64},
    ),
    Case(
        "the target's own document",
        {"phase": Phase.NEW},
        "look",
        ok(status("committed", NEW, release_sha256="b" * 64)),
        Phase.UPDATED,
        rules={"sha256": "b" * 64},
    ),
    Case(
        "a lease of ours",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "ann@desk", "reason": "rollout 1 (abc)"})),
        Phase.MEASURING,
    ),
    Case(
        "a lease of somebody else of our name, on another machine of that name",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "ann@desk", "reason": "rollout 1 (xyz)"})),
        Phase.ABSENT,
        "our lease was revoked",
    ),
    Case(
        "a lease that was broken",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "carl@lab", "reason": "mine"})),
        Phase.ABSENT,
        "our lease was revoked",
    ),
    Case("a lease that is gone", {"phase": Phase.LEASED}, "look", ok(status("committed", OLD)), Phase.ABSENT),
    Case("an empty status", {"phase": Phase.NEW}, "look", ok({}), Phase.FAILED, "state: is missing"),
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
]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_after_an_answer(case: Case) -> None:
    case.check()


@pytest.mark.parametrize(
    ("layouts", "phase"), [({}, Phase.FAILED), ({"agent_layouts": [1, 2]}, Phase.READY)], ids=["none", "1, 2"]
)
def test_agent_that_does_not_read_the_release_is_not_activated(layouts: dict[str, Any], phase: Phase) -> None:
    smoke = {"release": OLD, "passed": True, "tokens_per_second": 40.0}
    lease = {"holder": RULES.holder, "reason": RULES.lease}
    seen = ok(status("committed", OLD, lease=lease, last_smoke=smoke) | layouts)
    leased = replace(DEVICE, phase=Phase.LEASED, began_at=None)
    after = ended(leased, "look", seen, replace(RULES, layout=2))
    assert after.phase is phase
    if phase is Phase.FAILED:
        assert "agent_too_old" in after.why
        assert f"--limit {DEVICE.name}" in after.why
        assert "nothing was changed on it" in after.why


def test_the_baseline_is_that_of_the_release_that_serves() -> None:
    def prepared(smoke: dict[str, Any] | None) -> float | None:
        lease = {"holder": "ann@desk", "reason": "rollout 1 (abc)"}
        data = status("committed", OLD, lease=lease, last_smoke=smoke)
        after = ended(replace(DEVICE, phase=Phase.LEASED, baseline=None), "look", ok(data), RULES)
        assert after.phase is (Phase.MEASURING if after.baseline is None else Phase.READY)
        return after.baseline

    good = {"release": OLD, "passed": True, "tokens_per_second": 41.0}
    assert prepared(good) == 41.0
    assert prepared({**good, "release": NEW}) is None
    assert prepared({**good, "passed": False}) is None
    assert prepared({**good, "tokens_per_second": None}) is None
    assert prepared(None) is None


OURS, ANOTHER = "ann@desk (rollout 1 aaaaaaaa)", "ann@desk (rollout 1 bbbbbbbb)"
SHA = "b" * 64


@pytest.mark.parametrize(
    ("by", "sha256", "phase"),
    [
        (OURS, SHA, Phase.UNKNOWN),
        (OURS, "c" * 64, Phase.ABSENT),
        (ANOTHER, SHA, Phase.ABSENT),
        ("ann@desk", SHA, Phase.ABSENT),
        (None, SHA, Phase.ABSENT),
    ],
)
def test_a_trial_is_adopted_if_it_is_ours_and_of_the_very_document(
    by: str | None, sha256: str, phase: Phase
) -> None:
    seen = status("trial", NEW, activated_by=by, release_sha256=sha256)
    Case(
        "a trial that began late",
        {"phase": Phase.ABSENT, "leased": False},
        "look",
        ok(seen),
        phase,
        "" if phase is Phase.UNKNOWN else "`thorctl rollback thor-01`",
        {"holder": OURS, "sha256": SHA},
    ).check()


def test_a_trial_that_another_began_is_not_judged_as_ours() -> None:
    seen = status("trial", NEW, activated_by=ANOTHER, deadline="2026-11-25T12:30:00Z")
    rules = {"holder": OURS}
    words = "begun by ann@desk (rollout 1), until 2026-11-25T12:30:00Z. Use `thorctl rollout resume 1`"
    Case("in doubt", {"phase": Phase.UNKNOWN}, "look", ok(seen), Phase.ABSENT, words, rules).check()
    device = {"phase": Phase.ROLLBACK_UNVERIFIED, "fault": "slow"}
    Case("it failed before", device, "look", ok(seen), Phase.FAILED, "another caller", rules).check()
