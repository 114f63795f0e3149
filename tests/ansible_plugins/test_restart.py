"""When a playbook restarts a device: asked for, or in the window; never under somebody who uses it."""

from __future__ import annotations

from typing import Any

import pytest

from thorctl.ansible_plugins.restart import decide, window_problem

QUIET: dict[str, Any] = {"state": "committed", "hold": None, "lease": None, "progress": None}
WINDOW = "Sat 02:00-04:00"
SATURDAY_NIGHT, SUNDAY_NOON = "2026-11-28T02:30", "2026-11-29T12:00"


def decision(
    status: dict[str, Any] | None = None,
    *,
    allowed: bool = False,
    window: str | None = None,
    local_time: str = SUNDAY_NOON,
    holder: str | None = None,
) -> tuple[str, str]:
    said = decide(
        QUIET | (status or {}), allowed=allowed, window=window, local_time=local_time, holder=holder
    )
    return said["decision"], said["message"]


def test_nobody_asked() -> None:
    assert decision() == ("refuse", "a restart was not requested, and there is no maintenance window")
    assert decision(window="")[0] == "refuse"


def test_asked_for() -> None:
    assert decision(allowed=True) == ("restart", "")
    assert decision(allowed=True, window=WINDOW) == ("restart", "")


def test_the_window_decides_by_the_device_s_time() -> None:
    assert decision(window=WINDOW, local_time=SATURDAY_NIGHT + "\n") == ("restart", "")
    later = decision(window=WINDOW)
    assert later == ("later", "it is 2026-11-29T12:00 there, the window is Sat 02:00-04:00")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            {"hold": {"reason": "on patrol", "since": "2026-11-28T00:00:00Z"}},
            "held: the device is on hold for 'on patrol'",
        ),
        (
            {"lease": {"holder": "ann@desk", "expires_at": "2026-11-28T04:00:00Z", "reason": "rollout"}},
            "leased: ann@desk has it until 2026-11-28T04:00:00Z (rollout)",
        ),
        ({"progress": {"verb": "stage"}}, "busy: the agent is at work (stage)"),
        ({"state": "trial"}, "bad_state: it is trial"),
        ({"state": "activating"}, "bad_state: it is activating"),
        ({"state": None}, "bad_state: it is None"),
    ],
)
@pytest.mark.parametrize("how", [{"allowed": True}, {"window": WINDOW, "local_time": SATURDAY_NIGHT}])
def test_who_uses_it_is_not_cut_off(status: dict[str, Any], message: str, how: dict[str, Any]) -> None:
    said = decision(status, **how)
    assert said[0] == "refuse"
    assert said[1].startswith(message)


def test_one_s_own_lease_is_no_obstacle() -> None:
    lease = {"lease": {"holder": "me@here", "expires_at": "", "reason": ""}}
    assert decision(lease, allowed=True, holder="me@here")[0] == "restart"


def test_an_empty_device_may_restart() -> None:
    assert decision({"state": "empty"}, allowed=True)[0] == "restart"


def test_a_window_that_is_none_is_told_at_once() -> None:
    assert window_problem("") == window_problem(WINDOW) == ""
    assert window_problem("at night").startswith(
        "maintenance_window_invalid: 'at night' is not a maintenance window"
    )


def test_what_cannot_be_read_is_refused() -> None:
    assert decision(window="at night")[1].startswith("maintenance_window_invalid: 'at night'")
    assert decision(window=WINDOW, local_time="?")[1].startswith("clock_unreadable")
