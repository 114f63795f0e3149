"""Convergence: how a status stands to the desired release, aspect by aspect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.doubles.answers import RELEASE, STATUS
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.release.convergence import (
    ALL_OF_THE_RELEASE,
    COMMITTED_RELEASE,
    SERVES,
    Aspect,
    Desired,
    Verdict,
    convergence,
)
from thorctl.remote.earlier import read

SHA = "a" * 64
DESIRED = Desired(RELEASE, SHA, 2)
EVERYTHING = frozenset(Aspect)
OF_AN_ID = {Aspect.RELEASE, Aspect.DOCUMENT, Aspect.SMOKE}
HOST = {"what": "power mode", "scope": "host"}
FILE = {"what": "release serve.yaml", "scope": "release"}

DIFFERENCES: list[tuple[dict[str, Any], set[Aspect], set[Aspect]]] = [
    ({}, set(), set()),
    ({"release_sha256": SHA}, set(), set()),
    ({"release_sha256": "b" * 64}, {Aspect.DOCUMENT}, set()),
    ({"state": "trial"}, {Aspect.STATE}, set()),
    ({"state": "empty", "release": None}, {Aspect.STATE, Aspect.RELEASE}, set()),
    ({"state": None, "release": None}, set(), {Aspect.STATE, Aspect.RELEASE}),
    ({"release": "other-0123456789ab"}, {Aspect.RELEASE}, set()),
    # The hash is that of the other release's document.
    ({"release": "other-0123456789ab", "release_sha256": "b" * 64}, {Aspect.RELEASE}, set()),
    ({"engine": {"unit": "active", "ready": False}}, {Aspect.ENGINE}, set()),
    ({"engine": {"unit": "failed", "ready": True}}, {Aspect.ENGINE}, set()),
    ({"engine": {"unit": None, "ready": True}}, set(), {Aspect.ENGINE}),
    ({"engine": {"unit": "active", "ready": None}}, set(), {Aspect.ENGINE}),
    ({"engine": {}}, set(), {Aspect.ENGINE}),
    ({"last_smoke": None}, set(), {Aspect.SMOKE}),
    ({"last_smoke": {"release": RELEASE, "passed": None}}, set(), {Aspect.SMOKE}),
    ({"last_smoke": {"release": RELEASE, "passed": False}}, {Aspect.SMOKE}, set()),
    ({"last_smoke": {"release": "other-0123456789ab", "passed": True}}, {Aspect.SMOKE}, set()),
    ({"drift": None}, set(), {Aspect.FILES, Aspect.HOST}),
    ({"drift": [{**HOST, "same": False}]}, {Aspect.HOST}, set()),
    ({"drift": [{**HOST, "same": None}]}, set(), {Aspect.HOST}),
    ({"drift": [{**FILE, "same": None}, {**FILE, "same": False}]}, {Aspect.FILES}, set()),
    ({"drift": [FILE]}, {Aspect.FILES}, set()),  # an earlier agent tells only what differs
]


@pytest.mark.parametrize(("changes", "differs", "unknown"), DIFFERENCES)
def test_convergence_names_what_differs_and_what_is_unknown(
    changes: dict[str, Any], differs: set[Aspect], unknown: set[Aspect]
) -> None:
    found = convergence(read(Status, STATUS | changes), DESIRED)
    assert (set(found.differs), set(found.unknown)) == (differs, unknown)
    expected = Verdict.DIFFERS if differs else Verdict.UNKNOWN if unknown else Verdict.IN_PLACE
    assert found.of(EVERYTHING) is expected


def test_desired_release_unknown_leaves_its_aspects_unknown() -> None:
    found = convergence(read(Status, STATUS), None)
    assert (set(found.differs), set(found.unknown)) == (set(), OF_AN_ID)


def test_status_unknown_is_unknown_and_never_in_place() -> None:
    found = convergence(UNKNOWN, DESIRED)
    assert found.differs == set()
    for aspects in (EVERYTHING, ALL_OF_THE_RELEASE, COMMITTED_RELEASE, SERVES):
        assert found.of(aspects) is Verdict.UNKNOWN


def test_difference_outweighs_what_is_unknown() -> None:
    found = convergence(read(Status, STATUS | {"state": "trial", "drift": None}), DESIRED)
    assert found.of(EVERYTHING) is Verdict.DIFFERS
    assert found.of(SERVES) is Verdict.IN_PLACE


@pytest.mark.parametrize(
    ("changes", "earlier"),
    [
        ({"release_layout": 1}, 1),
        ({"release_layout": 2}, None),
        ({"release_layout": None}, None),
        ({"release_layout": None, "agent_layouts": [1]}, 1),
        ({"release_layout": 1, "state": "trial"}, None),
        ({"release_layout": 1, "release": "other-0123456789ab"}, None),
    ],
)
def test_earlier_layout_is_of_the_same_profile_and_committed(
    changes: dict[str, Any], earlier: int | None
) -> None:
    later = Desired("tiny-qwable-ba9876543210", SHA, 2)
    assert convergence(read(Status, STATUS | changes), later).earlier_layout == earlier
