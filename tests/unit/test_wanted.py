"""Which release a device should serve: the same one that render makes, or unknown with the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.playbooks.load_plugin import load
from tests.unit.documents import lock_document, release_of
from thorctl import profile, releases
from thorctl.doctor import project as doctor
from thorctl.fleet import Device
from thorctl.release import content_sha256
from thorctl.rollout import prepare
from thorctl.wanted import wanted_releases

if TYPE_CHECKING:
    from pathlib import Path

FLEET = [
    Device("thor-01", "10.0.0.1", profile="tiny-qwable", device_class="simulated-container"),
    Device("thor-02", "10.0.0.2", profile="tiny-qwable", device_class="simulated-container"),
    Device("thor-03", "10.0.0.3"),
]


def locked(project: Path) -> Path:
    """The project's deploy folder, its profile locked."""
    deploy = project / "deploy"
    (deploy / "locks").mkdir()
    document = lock_document(profile.load(deploy, "tiny-qwable"))
    document["image"]["platform"] = release_of(deploy).lock.image.platform
    (deploy / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(document))
    return deploy


def test_it_is_what_render_makes(project: Path) -> None:
    deploy = locked(project)
    release = release_of(deploy)
    expected = (release.id, content_sha256(release.document()))
    wanted, problems = wanted_releases(deploy, FLEET)
    assert wanted == {"thor-01": expected, "thor-02": expected, "thor-03": None}
    assert problems == ()


def test_status_site_yml_rollout_and_doctor_want_the_same(project: Path) -> None:
    """A project's own templates are used by all of them, wherever thorctl itself lies."""
    deploy, device = locked(project), FLEET[0]
    shipped = release_of(deploy).id
    with (deploy / "templates" / "engine.env.j2").open("a") as template:
        template.write("# of this project\n")
    wanted, _ = wanted_releases(deploy, [device])
    site = load("lookup", "thor_release").document(deploy, device.profile, device.device_class)
    given = prepare.releases(deploy, str(device.profile), project, [device])
    one = wanted[device.name]
    assert one is not None
    assert one.id == site["id"] == given.by_device[device.name].id
    assert given.documents == {site["id"]: site}
    assert releases.build(deploy, "tiny-qwable").id == one.id != shipped
    (check,) = [check for check in doctor.checks(deploy) if check.name == "profile tiny-qwable"]
    assert one.id in check.found


def test_without_a_lock_it_is_unknown_and_the_reason_is_told_once(project: Path) -> None:
    wanted, problems = wanted_releases(project / "deploy", FLEET)
    assert set(wanted.values()) == {None}
    (problem,) = problems
    assert "thorctl lock tiny-qwable" in problem.remedy
