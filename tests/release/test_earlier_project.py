"""A project of an earlier thorctl: profile, lock and device class make the release that they made then."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fixtures.earlier import BEFORE_CONTRACT
from thorctl.release import find

PROJECT = Path(__file__).parents[1] / "fixtures" / "project-257c6f3"


def test_release_has_the_lock_profile_and_class_of_then() -> None:
    """The rendered files may differ: templates change between versions."""
    then = json.loads(BEFORE_CONTRACT.text("release-2.json"))
    now = json.loads(find.build(PROJECT / "deploy", "light", "simulated-container").text())
    assert {key: now[key] for key in ("name", "lock", "profile", "device_class")} == {
        key: then[key] for key in ("name", "lock", "profile", "device_class")
    }
