"""The judgement on a device after a power cut: a whole one has no fault, and each single fault is found."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.vm.cut_verdict import NEW, OLD, UNIT, Shipped, faults, may_serve, serves
from tests.system.vm.power_cuts import Cut

if TYPE_CHECKING:
    from tests.system.vm.power_cuts import Phase, Start

IMAGE, TAG = "registry/engine@sha256:aa", "registry/engine:thor-aa"
OLD_RELEASE = Shipped(
    "old-0", IMAGE, "light", "t--w@1", {"w": "1a"}, {UNIT: "2a", "serve.yaml": "3a", "release.json": "4a"}
)
NEW_RELEASE = dataclasses.replace(OLD_RELEASE, id="new-0", checkpoint="t--w@2", weights={"w": "1b"})
RELEASES = {OLD: OLD_RELEASE, NEW: NEW_RELEASE}


def whole() -> dict[str, Any]:
    """What the probe sees where the old release serves and the new one is staged."""
    return {
        "system": "running",
        "failed": "",
        "rubbish": [],
        "units": dict.fromkeys(("thor-recover", "thor-engine", "docker", "ssh"), "active"),
        "journal": {"state": "committed", "current": "old-0", "previous": None, "target": None},
        "unit_file": "2a",
        "healthy": True,
        "models": ["light"],
        "label": OLD,
        "containers": [
            {"name": "thor-engine", "running": True, "asked": "registry/engine:thor-aa", "digests": [IMAGE]}
        ],
        "releases": {"old-0": dict(OLD_RELEASE.files), "new-0": dict(NEW_RELEASE.files)},
        "checkpoints": {"t--w@1": {"w": "1a"}, "t--w@2": {"w": "1b"}},
        "status": {
            "ok": True,
            "data": {
                "state": "committed",
                "release": "old-0",
                "previous": None,
                "target": None,
                "deadline": None,
                "progress": None,
                "drift": [],
                "engine": {
                    "unit": "active",
                    "ready": True,
                    "model": "light",
                    "container": {"image_digest": "sha256:aa"},
                },
            },
        },
    }


def test_a_whole_device_has_no_fault() -> None:
    assert serves(whole(), RELEASES) == OLD
    assert faults(whole(), RELEASES, (OLD,)) == []


FAULTS: list[tuple[str, Any]] = [
    ("system", "degraded"),
    ("failed", "thor-recover.service"),
    ("rubbish", ["/var/lib/thor/.tmp-state.json"]),
    ("units thor-engine", "activating"),
    ("journal state", "trial"),
    ("journal current", "new-0"),
    ("journal previous", "gone-0"),
    ("unit_file", "2b"),
    ("healthy", False),
    ("models", []),
    ("label", NEW),
    ("containers", []),
    ("releases new-0", {UNIT: "2a"}),
    ("releases strange-0", {}),
    ("checkpoints t--w@1", {"w": ""}),
    ("checkpoints t--w@2", {}),
    ("status ok", False),
    ("status data state", "trial"),
    ("status data release", "new-0"),
    ("status data drift", [{"what": "installed unit"}]),
    ("status data progress", {"verb": "stage"}),
    ("status data engine ready", False),
    ("status data engine container", None),
]


@pytest.mark.parametrize(("place", "value"), FAULTS, ids=[place for place, _ in FAULTS])
def test_a_single_fault_is_found(place: str, value: Any) -> None:
    seen = copy.deepcopy(whole())
    *way, last = place.split(" ")
    part = seen
    for key in way:
        part = part[key]
    part[last] = value
    assert faults(seen, RELEASES, (OLD,)) != []


@pytest.mark.parametrize(
    ("phase", "start", "answered", "allowed"),
    [
        ("stage", "fresh", True, (OLD,)),
        ("activate", "staged", True, (OLD,)),
        ("trial", "trial", True, (OLD,)),
        ("commit", "smoked", False, (OLD, NEW)),
        ("commit", "smoked", True, (NEW,)),
        ("rollback", "trial", False, (OLD,)),
        ("rollback", "committed", False, (OLD, NEW)),
        ("rollback", "committed", True, (OLD,)),
    ],
)
def test_what_may_serve_is_exact(
    phase: Phase, start: Start, answered: bool, allowed: tuple[str, ...]
) -> None:
    assert may_serve(Cut(1, phase, start, 0.5, 0.0), answered=answered) == allowed
