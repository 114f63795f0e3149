"""Documents as dataclasses: what is read, and the named fault of everything else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures import earlier
from thorctl.protocol import foreign_json
from thorctl.protocol.decode import Malformed, decode
from thorctl.protocol.encode import encode
from thorctl.protocol.lease import Lease
from thorctl.protocol.status import Comparison, Engine, Soak, Status


@dataclass(frozen=True)
class Part:
    what: str
    count: int = 0


@dataclass(frozen=True)
class Whole:
    name: str
    kind: Literal["one", "two"]
    parts: tuple[Part, ...]
    rate: float | None = None
    from_: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    either: str | int | None = None
    anything: object = None


BOOLEAN = "is true or false, not a whole number"
GOOD = {"name": "a", "kind": "one", "parts": [{"what": "x"}]}


def test_document_is_read_by_its_class_and_written_the_same() -> None:
    document = {
        **GOOD,
        "parts": [{"what": "x", "count": 2}],
        "rate": 41,
        "from": "b",
        "sizes": {"y": 1},
        "either": 7,
        "anything": [{"z": None}],
    }
    found = decode(Whole, document)
    assert found == Whole("a", "one", (Part("x", 2),), 41.0, "b", {"y": 1}, 7, [{"z": None}])
    assert encode(found) == document
    assert decode(Whole, {**GOOD, "key of a newer agent": 1}).from_ is None


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        ([], "", "is a list, not an object"),
        (None, "", "is null, not an object"),
        ({}, "name", "is missing"),
        (GOOD | {"name": 1}, "name", "is a whole number, not text"),
        (GOOD | {"name": None}, "name", "is null, not text"),
        (GOOD | {"kind": "three"}, "kind", "is none of one, two"),
        (GOOD | {"kind": ["one"]}, "kind", "is a list, not text"),
        (GOOD | {"parts": {}}, "parts", "is an object, not a list"),
        (GOOD | {"parts": [{"what": "x"}, {}]}, "parts.1.what", "is missing"),
        (GOOD | {"parts": [{"what": "x", "count": True}]}, "parts.0.count", BOOLEAN),
        (GOOD | {"parts": [{"what": "x", "count": 1.0}]}, "parts.0.count", "is a number, not a whole number"),
        (GOOD | {"parts": [{"what": "x", "count": 2**65}]}, "parts.0.count", "is too large a number"),
        (GOOD | {"rate": "fast"}, "rate", "is text, not a number"),
        (GOOD | {"rate": False}, "rate", "is true or false, not a number"),
        (GOOD | {"rate": float("nan")}, "rate", "is not a finite number"),
        (GOOD | {"rate": float("inf")}, "rate", "is not a finite number"),
        (GOOD | {"rate": 10**400}, "rate", "is too large a number"),
        (GOOD | {"sizes": []}, "sizes", "is a list, not an object"),
        (GOOD | {"sizes": {"\x1b[31m": "y"}}, "sizes.*", "is text, not a whole number"),
        (GOOD | {"either": []}, "either", "is a list, not a whole number"),
    ],
)  # fmt: skip
def test_fault_names_field_and_type_and_quotes_nothing(document: object, path: str, problem: str) -> None:
    with pytest.raises(Malformed) as fault:
        decode(Whole, document)
    assert (fault.value.path, fault.value.problem) == (path, problem)
    assert str(fault.value) == (f"{path}: {problem}" if path else problem)


@pytest.mark.parametrize("kind", [set[str], list[int], complex])
def test_class_with_a_field_that_json_does_not_have_is_a_fault_of_ours(kind: type) -> None:
    with pytest.raises((KeyError, TypeError)):
        decode(kind, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused_by_name(document: object) -> None:
    for kind in (Whole, Status, Lease, Soak):
        try:
            decode(kind, document)
        except Malformed:
            continue


@given(st.text(max_size=200))
def test_any_text_of_a_device_ends_in_a_value_or_a_value_error(text: str) -> None:
    try:
        decode(Status, foreign_json.read_writable(text))
    except ValueError:
        return


NESTED = {"engine", "compared", "last_smoke", "progress"}
STATUSES = [(recording, name) for recording, name in earlier.ANSWERS if name.startswith("status-")]


@pytest.mark.parametrize(("recording", "name"), STATUSES, ids=earlier.id_of)
def test_recorded_status_survives_reading_and_writing(recording: earlier.Recording, name: str) -> None:
    data = recording.answer(name)["data"]
    found = decode(Status, data)
    assert decode(Status, json.loads(json.dumps(encode(found)))) == found
    assert {key: value for key, value in data.items() if key not in NESTED}.items() <= encode(found).items()


def test_values_are_equal_and_replaceable_whichever_way_they_were_made() -> None:
    read = decode(Status, {"state": "empty", "engine": {"unit": "active", "ready": True}})
    made = Status(state="empty", engine=Engine(unit="active", ready=True))
    assert read == made
    assert replace(read, drift=(Comparison("x"),)) == replace(made, drift=(Comparison("x"),))
