"""One machine under two names, and another machine under a device's name."""

from __future__ import annotations

import pytest

from tests.support.doubles.answers import STATUS, document
from thorctl.inventory.devices import Device
from thorctl.protocol.identity import Identity, stranger, twins
from thorctl.protocol.status import Status
from thorctl.remote.answer import Answer
from thorctl.status.model import attention, rows

ONE = Identity("thor-01", "a" * 16, "111")


@pytest.mark.parametrize(
    ("other", "same", "differs"),
    [
        (Identity("thor-07", "a" * 16, "111"), True, False),
        (Identity(None, "a" * 16, None), True, False),
        (Identity(None, None, "111"), True, False),
        (Identity(None, "a" * 16, "222"), False, True),  # a cloned disk
        (Identity(None, "b" * 16, "111"), False, True),  # reflashed
        (Identity("thor-01", None, None), False, False),  # an earlier agent
        (Identity(), False, False),
    ],
)
def test_unknown_neither_equals_nor_differs(other: Identity, same: bool, differs: bool) -> None:
    assert (ONE.same(other), ONE.differs(other)) == (same, differs)
    assert (other.same(ONE), other.differs(ONE)) == (same, differs)


@pytest.mark.parametrize("value", [None, ""])
def test_status_without_values_has_no_identity(value: str | None) -> None:
    assert Status(state=None, name=value, machine=value, serial=value).identity == Identity()


def test_name_and_machine_tell_a_stranger() -> None:
    assert stranger("thor-01", ONE) is None
    assert stranger("thor-01", ONE, Identity(None, "a" * 16)) is None
    assert stranger("thor-01", Identity()) is None
    assert "it answers as thor-01" in (stranger("thor-02", ONE) or "")
    reflashed = Identity(None, "b" * 16, "111")
    assert "reflashed or swapped" in (stranger("thor-01", reflashed, ONE) or "")


def test_machine_of_several_names_counts_under_its_own() -> None:
    found = {
        "alias": ONE,
        "thor-01": ONE,
        "thor-02": Identity("thor-02", "c" * 16, "333"),
        "third": Identity("thor-01", None, "111"),
        "clone": Identity("clone", "a" * 16, "444"),
        "silent": Identity(),
    }
    assert twins(found) == {"alias": "thor-01", "third": "thor-01"}
    assert twins({"b": Identity(None, "d" * 16), "a": Identity(None, "d" * 16)}) == {"a": "b"}


def test_status_names_the_machine_of_two_names() -> None:
    fleet = [Device("thor-01", "192.0.2.1"), Device("thor-02", "192.0.2.2"), Device("thor-03", "192.0.2.3")]
    statuses = [STATUS | {"name": "thor-01", "machine": "a" * 16} for _ in range(2)]
    statuses.append(STATUS | {"name": "thor-09", "machine": "b" * 16})
    answers = [Answer(one.name, document("status", said)) for one, said in zip(fleet, statuses, strict=True)]
    table = rows(fleet, answers, {})
    assert [one.same_as for one in table] == [None, "thor-01", None]
    assert not any("machine" in words or "answers" in words for words in attention(table[0]))
    assert "is the same machine as thor-01: remove one of the two names" in attention(table[1])
    assert "answers as thor-09: swapped, or its address is reused" in attention(table[2])
    shown = table[2].as_json()
    assert (shown["name"], shown["answers_as"], shown["machine"]) == ("thor-03", "thor-09", "b" * 16)
