"""lease, hold, rollback: the agent's words on the line, its answer in a table, the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import STATUS, answers, answers_by_verb, document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.cli.smoke import me
from thorctl.result import Exit, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEASE = {
    "holder": "carl@lab",
    "host": "lab",
    "reason": "antenna",
    "taken_at": "2026-11-25T11:00:00Z",
    "expires_at": "2026-11-25T12:00:00Z",
}


@dataclass(frozen=True)
class One:
    """One device, and thorctl."""

    sshd: Sshd
    inventory: Path

    def thorctl(self, *words: str) -> Result:
        result = run(["-i", str(self.inventory), *words])
        assert result is not None
        return result

    @property
    def asked(self) -> str:
        return self.sshd.asked.read_text()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[One]:
    folder = tmp_path_factory.mktemp("sshd")
    with running_sshd(folder) as sshd:
        yield One(sshd, sshd.inventory(folder / "hosts.yml", "thor-01"))


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
    assert one.thorctl("rollback").exit_code == Exit.USAGE


def test_a_rollback_is_shown_before_it_is_done(one: One) -> None:
    before: dict[str, Any] = {**STATUS, "previous": "tiny-qwable-000000000000"}
    one.sshd.behave(answers("status", before))
    result = one.thorctl("rollback", "thor-01", "--dry-run")
    assert str(result.view) == f"thor-01: {STATUS['release']} → tiny-qwable-000000000000"
    assert one.asked.endswith("status")


def rolls_back(one: One, told: Path, error: dict[str, Any] | None = None) -> None:
    """The device's answers; the calls of its rollback are lines of ``told``."""
    before = document("status", {**STATUS, "release": "a", "previous": "b"})
    after = document("rollback", {"release": "b", "state": "committed"}, error)
    one.sshd.behave(answers_by_verb(told, status=before, rollback=after))


def test_a_rollback_names_reason_and_release(one: One, tmp_path: Path) -> None:
    rolls_back(one, tmp_path / "told")
    result = one.thorctl("rollback", "thor-01", "--leave", "a", "--reason", "it babbles", "--yes")
    assert result.exit_code == Exit.SUCCESS
    assert str(result.view) == "thor-01: committed, serving b"
    assert (tmp_path / "told").read_text() == "rollback a --reason 'it babbles'\n"
    assert f"--holder {me()} result rollback" in one.asked


def test_a_rollback_leaves_what_was_seen(one: One, tmp_path: Path) -> None:
    rolls_back(one, tmp_path / "told")
    one.thorctl("rollback", "thor-01", "--yes")
    assert (tmp_path / "told").read_text().startswith("rollback a --reason")


def test_a_rollback_that_is_refused(one: One, tmp_path: Path) -> None:
    rolls_back(one, tmp_path / "told", {"code": "nothing_to_roll_back"})
    result = one.thorctl("rollback", "thor-01", "--yes")
    assert (result.exit_code, [error.code for error in result.errors]) == (1, ["nothing_to_roll_back"])


SWAPPED = [
    ("hold", "set", "thor-01", "--reason", "on patrol", "--yes"),
    ("hold", "release", "thor-01", "--yes"),
    ("lease", "take", "thor-01", "--reason", "new antenna"),
    ("lease", "give", "thor-01", "--force", "--yes"),
    ("rollback", "thor-01", "--yes"),
    ("commit", "thor-01", "--yes"),
]


@pytest.mark.parametrize("words", SWAPPED, ids=lambda words: " ".join(words[:2]))
def test_device_that_goes_by_another_name_is_not_changed(one: One, words: tuple[str, ...]) -> None:
    one.sshd.behave(answers("status", {**STATUS, "name": "thor-02", "state": "trial"}))
    result = one.thorctl(*words)
    assert [error.code for error in result.errors] == ["another_device"]
    assert "answers is thor-02" in result.errors[0].message
    assert one.asked.endswith("status")


@pytest.mark.parametrize("words", SWAPPED[:4], ids=lambda words: " ".join(words[:2]))
def test_device_whose_name_is_unknown_is_asked(one: One, words: tuple[str, ...]) -> None:
    one.sshd.behave(answers(words[0], {words[0]: None}))
    assert one.thorctl(*words).exit_code == Exit.SUCCESS
