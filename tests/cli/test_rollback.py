"""``thorctl rollback``: what it would do, the agent's arguments, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.doubles.answers import STATUS, answers, answers_by_verb, document
from thorctl.cli.smoke import me
from thorctl.result import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.doubles.one_device import One


def test_a_device_is_asked_for(one: One) -> None:
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
