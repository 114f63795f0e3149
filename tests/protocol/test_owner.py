"""Owners of leases and trials in words: each fact once, and what to type."""

from __future__ import annotations

from typing import Any

import pytest

from thorctl.protocol.owner import UNKNOWN, held_words, lease_reason, owner_of

ROLLOUT = {
    "holder": "ann@desk",
    "purpose": "rollout 20261125-1 5f3a90c1",
    "reason": "rollout 20261125-1 (5f3a90c1)",
    "expires_at": "12:30",
}


@pytest.mark.parametrize(
    ("lease", "words"),
    [
        (ROLLOUT, "ann@desk (rollout 20261125-1) until 12:30"),
        (ROLLOUT | {"reason": "antenna"}, "ann@desk (rollout 20261125-1) until 12:30: antenna"),
        ({"holder": "ann@desk", "reason": "antenna", "expires_at": "12:30"}, "ann@desk until 12:30: antenna"),
        ({"holder": "ann@desk", "reason": ""}, "ann@desk: no reason given"),
        # By hand, whatever the reason says.
        ({"holder": "ann@desk", "reason": "rollout 7 failed"}, "ann@desk: rollout 7 failed"),
    ],
)
def test_holder_end_and_reason_stand_once(lease: dict[str, Any], words: str) -> None:
    assert held_words(lease) == words


def test_reason_that_repeats_the_rollout_is_none() -> None:
    assert lease_reason(ROLLOUT) is None
    assert lease_reason(ROLLOUT | {"reason": "antenna"}) == "antenna"


def test_unknown_holder_has_no_figure_and_a_way_out() -> None:
    lease = {"holder": UNKNOWN, "purpose": UNKNOWN, "reason": "unreadable lease", "expires_at": None}
    assert held_words(lease) == "an unknown holder: unreadable lease"
    assert owner_of(lease).way_out("thor-01") == (
        "Remove the unreadable lease: `thorctl lease give thor-01 --force`."
    )
