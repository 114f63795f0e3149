"""Which release a device should serve: the same one that render makes, or unknown with the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.playbooks.load_plugin import load
from tests.support.documents import lock_document, release_of
from thorctl.cli import preflight
from thorctl.cli.context import Context
from thorctl.cli.main import CONTEXT_SETTINGS
from thorctl.doctor import project as doctor
from thorctl.doctor.inventory import checks
from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.inventory.devices import Device
from thorctl.protocol import canonical_json
from thorctl.release import find as releases
from thorctl.release import profile
from thorctl.release.convergence import Desired
from thorctl.release.desired import desired_releases, identified
from thorctl.release.document import LAYOUT, Release
from thorctl.rollout.run import preparation
from thorctl.ui.console import Console

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
    desired = desired_releases(deploy, FLEET)
    assert desired == {"thor-01": release, "thor-02": release, "thor-03": None}
    assert desired["thor-01"] is desired["thor-02"]
    expected = Desired(release.id, canonical_json.release_sha256(release.document()), LAYOUT)
    assert identified(desired) == {"thor-01": expected, "thor-02": expected}


def test_status_site_yml_rollout_and_doctor_want_the_same(project: Path) -> None:
    """A project's own templates are used by all of them, wherever thorctl itself lies."""
    deploy, device = locked(project), FLEET[0]
    shipped = release_of(deploy).id
    with (deploy / "templates" / "engine.env.j2").open("a") as template:
        template.write("# of this project\n")
    one = desired_releases(deploy, [device])[device.name]
    site = load("lookup", "thor_release").document(deploy, device.profile, device.device_class)
    given = preparation.releases(deploy, str(device.profile), project, [device])
    assert isinstance(one, Release)
    assert one.id == site["id"] == given.by_device[device.name].id
    assert given.documents == {site["id"]: site}
    assert releases.build(deploy, "tiny-qwable").id == one.id != shipped
    (check,) = [check for check in doctor.checks(deploy) if check.name == "profile tiny-qwable"]
    assert one.id in check.found


def test_without_a_lock_it_is_unknown_and_the_reason_is_told_once(project: Path) -> None:
    desired = desired_releases(project / "deploy", FLEET)
    assert identified(desired) == {}
    problem = desired["thor-01"]
    assert isinstance(problem, ThorError)
    assert desired["thor-02"] is problem
    assert "thorctl lock tiny-qwable" in problem.remedy


def inventory(folder: Path, value: str) -> list[Device]:
    """A device whose inventory gives ``thor_deploy`` in its group's variables, as Ansible reads it."""
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars" / "thor.yml").write_text(
        f"{{thor_deploy: {value}, thor_profile: tiny-qwable, thor_device_class: simulated-container}}\n"
    )
    (folder / "hosts.yml").write_text("thor: {hosts: {thor-01: {}}}\n")
    return fleet.load(folder)


@pytest.mark.parametrize("value", ["'{{ inventory_dir }}/../deploy'", "DEPLOY", "''"])
def test_the_project_s_own_folder_may_be_named_in_the_inventory(project: Path, value: str) -> None:
    deploy = locked(project)
    devices = inventory(project / "inventory", value.replace("DEPLOY", str(deploy)))
    assert isinstance(desired_releases(deploy, devices)["thor-01"], Release)
    assert preparation.releases(deploy, "tiny-qwable", project, devices).documents


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (
            "OTHER/deploy",
            "`thorctl --project OTHER …`. Or in the inventory set thor_deploy to DEPLOY or remove it.",
        ),
        ("OTHER", "Correct the inventory: set thor_deploy to DEPLOY or remove it."),
        ("../deploy", "Correct the inventory: set thor_deploy to DEPLOY or remove it."),
        ("'{{ playbook_dir }}/../deploy'", "Correct the inventory: set thor_deploy to DEPLOY or remove it."),
    ],
)
def test_another_folder_is_refused_by_every_verb(
    project: Path, tmp_path: Path, value: str, remedy: str
) -> None:
    deploy, other = locked(project), tmp_path / "other"
    (other / "deploy" / "profiles").mkdir(parents=True)
    devices = inventory(tmp_path / "inventory", value.replace("OTHER", str(other)))
    problem = desired_releases(deploy, devices)["thor-01"]
    assert isinstance(problem, ThorError)
    assert problem.code == "deploy_differs"
    assert problem.remedy.endswith(remedy.replace("OTHER", str(other)).replace("DEPLOY", str(deploy)))
    with pytest.raises(ThorError) as refused:
        preparation.releases(deploy, "tiny-qwable", project, devices)
    assert refused.value.code == "deploy_differs"
    (check,) = [one for one in checks(project / "hosts.yml", devices, deploy) if one.name == "deploy"]
    assert check.status == "fail"
    runner = CliRunner()
    with pytest.raises(ThorError) as refused:
        runner.invoke(
            preflight.command,
            ["thor-01"],
            obj=Context(project, json=True, quiet=True, messages=Console(), inventory=tmp_path / "inventory"),
            catch_exceptions=False,
            help_option_names=CONTEXT_SETTINGS["help_option_names"],  # a command keeps its option
        )
    assert refused.value.code == "deploy_differs"
