"""``thorctl lease``: the agent's arguments, its answer in a table, the exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.doubles.answers import answers
from thorctl.cli.smoke import me
from thorctl.result import Exit

if TYPE_CHECKING:
    from tests.support.doubles.one_device import One

LEASE = {
    "holder": "carl@lab",
    "host": "lab",
    "reason": "antenna",
    "taken_at": "2026-11-25T11:00:00Z",
    "expires_at": "2026-11-25T12:00:00Z",
}


def test_who_holds_it(one: One) -> None:
    one.sshd.behave(answers("lease", {"lease": LEASE}))
    result = one.thorctl("lease", "show")
    assert result.data["devices"] == [{"name": "thor-01", "lease": LEASE, "ok": True}]
    until = datetime(2026, 11, 25, 12, tzinfo=UTC).astimezone()
    for word in ("carl@lab", "antenna", f"{until:%Y-%m-%d %H:%M}"):
        assert word in str(result.view)
    one.sshd.behave(answers("lease", {"lease": None}))
    assert "nobody" in str(one.thorctl("lease", "show").view)


def test_take_and_give_say_who_asks_and_why(one: One) -> None:
    one.sshd.behave(answers("lease", {"lease": {**LEASE, "holder": me()}}))
    one.thorctl("lease", "take", "thor-01", "--reason", "new antenna", "--ttl", "60")
    assert f"--holder {me()} lease take --reason 'new antenna' --ttl 60" in one.asked
    one.sshd.behave(answers("lease", {"lease": None}))
    one.thorctl("lease", "give", "thor-01", "--force", "--yes")
    assert one.asked.endswith("lease give --force")


def test_somebody_elses_lease_is_exit_code_4(one: One) -> None:
    one.sshd.behave(answers("lease", {}, {"code": "leased"}))
    result = one.thorctl("lease", "take", "thor-01", "--reason", "x")
    assert result.exit_code == Exit.LEASED
    assert [error.code for error in result.errors] == ["leased"]
    assert result.view is None  # whose it is was not told: the error says all


def test_refused_lease_shows_its_holder(one: One) -> None:
    error = {"code": "leased", "details": {"lease": LEASE}}
    one.sshd.behave(answers("lease", {}, error, 3))
    result = one.thorctl("lease", "take", "thor-01", "--reason", "x")
    assert result.exit_code == Exit.LEASED
    assert result.data["devices"] == [{"name": "thor-01", "lease": LEASE, "ok": False}]
    assert "carl@lab" in str(result.view)


def test_rollout_is_named_once(one: One) -> None:
    lease = LEASE | {"purpose": "rollout 20261125-1 5f3a90c1", "reason": "rollout 20261125-1 (5f3a90c1)"}
    one.sshd.behave(answers("lease", {"lease": lease}))
    assert str(one.thorctl("lease", "show").view).count("20261125-1") == 1


def test_a_reason_and_a_device_are_asked_for(one: One) -> None:
    assert one.thorctl("lease", "take", "thor-01").exit_code == Exit.USAGE
    assert one.thorctl("lease", "give").exit_code == Exit.USAGE
