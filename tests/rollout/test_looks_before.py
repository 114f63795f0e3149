"""What a look makes of a device that nothing was changed on yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollout.cases import DEVICE, NEW, OLD, RULES, Case, error, ok, status
from thorctl.rollout.device import Phase
from thorctl.rollout.outcome import ended

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
        Phase.DONE,
        rules={"sha256": "b" * 64},
    ),
    Case(
        "a lease of ours",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "ann@desk", "reason": "rollout 1 (abc)"})),
        Phase.MEASURE,
    ),
    Case(
        "a lease of somebody else of our name, on another machine of that name",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "ann@desk", "reason": "rollout 1 (xyz)"})),
        Phase.ABSENT,
        "taken from us",
    ),
    Case(
        "a lease that was broken",
        {"phase": Phase.LEASED},
        "look",
        ok(status("committed", OLD, lease={"holder": "carl@lab", "reason": "mine"})),
        Phase.ABSENT,
        "taken from us",
    ),
    Case("a lease that is gone", {"phase": Phase.LEASED}, "look", ok(status("committed", OLD)), Phase.ABSENT),
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
        assert after.phase is (Phase.MEASURE if after.baseline is None else Phase.READY)
        return after.baseline

    good = {"release": OLD, "passed": True, "tokens_per_second": 41.0}
    assert prepared(good) == 41.0
    assert prepared({**good, "release": NEW}) is None
    assert prepared({**good, "passed": False}) is None
    assert prepared({**good, "tokens_per_second": None}) is None
    assert prepared(None) is None
