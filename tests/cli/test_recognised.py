"""Verbs that change a device: one that answers under the name of another is not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import STATUS, answers
from thorctl.result import Exit

if TYPE_CHECKING:
    from tests.support.doubles.one_device import One

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
