"""``thorctl hold``: the agent's arguments, its answer in a table, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import answers
from thorctl.result import Exit

if TYPE_CHECKING:
    from tests.support.doubles.one_device import One

HOLD = {"reason": "on patrol", "since": "2026-11-25T11:00:00Z"}


def test_hold_is_shown_with_its_reason(one: One) -> None:
    one.sshd.behave(answers("hold", {"hold": HOLD}))
    result = one.thorctl("hold", "show")
    assert result.data["devices"] == [{"name": "thor-01", "hold": HOLD, "ok": True}]
    assert "on patrol" in str(result.view)


def test_reason_that_begins_with_a_dash_reaches_the_device(one: One) -> None:
    one.sshd.behave(answers("hold", {"hold": HOLD}))
    assert one.thorctl("hold", "set", "thor-01", "--reason=-- on patrol", "--yes").exit_code == Exit.SUCCESS
    assert one.asked.endswith("hold set -- '-- on patrol'")


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ((), "hold clear -- 'on patrol'"),
        (("--reason", "on patrol"), "hold clear -- 'on patrol'"),
        (("--reason", "another"), "hold show"),
    ],
)
def test_only_the_hold_that_was_seen_is_released(one: One, words: tuple[str, ...], last: str) -> None:
    one.sshd.behave(answers("hold", {"hold": HOLD}))
    one.thorctl("hold", "release", "thor-01", *words, "--yes")
    assert one.asked.endswith(last)
