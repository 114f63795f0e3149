"""Which release a device should serve: the same one that render makes, or unknown with the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.documents import lock_document, release_of
from thorctl import profile
from thorctl.fleet import Device
from thorctl.wanted import wanted_releases

if TYPE_CHECKING:
    from pathlib import Path

FLEET = [
    Device("thor-01", "10.0.0.1", profile="tiny-qwable", device_class="simulated-container"),
    Device("thor-02", "10.0.0.2", profile="tiny-qwable", device_class="simulated-container"),
    Device("thor-03", "10.0.0.3"),
]


def test_it_is_what_render_makes(project: Path) -> None:
    deploy = project / "deploy"
    (deploy / "locks").mkdir()
    locked = lock_document(profile.load(deploy, "tiny-qwable"))
    expected = release_of(deploy).id
    locked["image"]["platform"] = release_of(deploy).lock.image.platform
    (deploy / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(locked))
    wanted, problems = wanted_releases(deploy, FLEET)
    assert wanted == {"thor-01": expected, "thor-02": expected, "thor-03": None}
    assert problems == ()


def test_without_a_lock_it_is_unknown_and_the_reason_is_told_once(project: Path) -> None:
    wanted, problems = wanted_releases(project / "deploy", FLEET)
    assert set(wanted.values()) == {None}
    (problem,) = problems
    assert "thorctl lock tiny-qwable" in problem.remedy
