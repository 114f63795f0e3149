"""doctor: every check can fail, and says what to do."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.support.doubles.answers import STATUS, answers, says
from tests.support.doubles.sshd import Sshd, make_key, running_sshd
from thorctl.cli import doctor
from thorctl.cli.main import run
from thorctl.doctor import devices, inventory, machine, project
from thorctl.doctor.check import Check
from thorctl.inventory.devices import Device
from thorctl.remote.answer import Answer
from thorctl.result import Exit
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


def named(checks: list[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    assert bool(check.remedy) == (check.status != "pass")
    return check


def test_this_machine_has_what_the_tests_themselves_need() -> None:
    checks = [check for check in machine.checks() if check.name != "Docker engine"]
    assert len(checks) >= 4
    assert {check.status for check in checks} == {"pass"}


def test_an_old_python() -> None:
    assert machine.python((3, 10, 12)).status == "fail"


def test_no_ssh(tmp_path: Path) -> None:
    check = machine.ssh_client(str(tmp_path))
    assert (check.status, "openssh-client" in check.remedy) == ("fail", True)


def test_no_ansible_beside_this_python(tmp_path: Path) -> None:
    check = machine.ansible(tmp_path)
    assert (check.status, "ansible-playbook" in check.found) == ("fail", True)


def test_a_missing_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COLLECTIONS", ("no_such.collection", "thorctl.thor"))
    check = machine.collections()
    assert (check.status, check.found) == ("fail", "missing: no_such.collection")


def test_no_docker_is_only_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("thorctl.remote.docker_engine.DEFAULT_SOCKET", f"unix://{tmp_path}/none")
    monkeypatch.setattr("thorctl.remote.docker_engine.OWN_SOCKET", f"unix://{tmp_path}/none")
    check = machine.docker({})
    assert (check.status, "simulated" in check.remedy) == ("warn", True)


@pytest.fixture
def deploy(project: Path) -> Path:
    """The shipped profiles without a lock."""
    return project / "deploy"


def test_a_profile_without_a_lock_is_a_warning(deploy: Path) -> None:
    check = named(project.checks(deploy), "profile tiny-qwable")
    assert (check.status, "thorctl lock tiny-qwable" in check.remedy) == ("warn", True)


def test_a_broken_profile_names_its_line(deploy: Path) -> None:
    with (deploy / "profiles" / "tiny-qwable.yml").open("a") as file:
        file.write("nonsense: 1\n")
    check = named(project.checks(deploy), "profile tiny-qwable")
    assert (check.status, "nonsense" in check.found) == ("fail", True)


def test_a_broken_lock(deploy: Path) -> None:
    (deploy / "locks").mkdir(exist_ok=True)
    (deploy / "locks" / "tiny-qwable.lock.json").write_text("{")
    assert named(project.checks(deploy), "profile tiny-qwable").status == "fail"


def test_a_broken_device_class(deploy: Path) -> None:
    (deploy / "device_classes" / "simulated-vm.yml").write_text("schema: 7\n")
    assert named(project.checks(deploy), "device class simulated-vm").status == "fail"


def test_no_profiles_at_all(tmp_path: Path) -> None:
    assert named(project.checks(tmp_path), "profiles").status == "fail"


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device with a good key, a recorded host key, a profile."""
    make_key(tmp_path / "id")
    known = tmp_path / "known_hosts"
    known.write_text(f"10.0.0.1 {make_key(tmp_path / 'host')}\n")
    args = f"-o UserKnownHostsFile={known}"
    return Device(
        "thor-01",
        "10.0.0.1",
        key=tmp_path / "id",
        known_hosts=known,
        ssh_args=args,
        profile="tiny-qwable",
        device_class="simulated-container",
    )


def test_a_good_inventory(device: Device) -> None:
    checks = inventory.checks(Path("hosts.yml"), [device], Path("deploy"))
    assert [(check.name, check.status) for check in checks] == [
        ("inventory", "pass"),
        ("SSH key", "pass"),
        ("ways", "pass"),
        ("host keys", "pass"),
        ("profiles", "pass"),
    ]


def test_a_key_that_others_may_read(device: Device) -> None:
    assert device.key is not None
    device.key.chmod(0o640)
    check = named(inventory.checks(Path("hosts.yml"), [device], Path("deploy")), "SSH key")
    assert (check.status, check.remedy) == ("fail", f"Restrict it: `chmod 600 {device.key}`.")


@pytest.mark.parametrize(
    ("changes", "name", "status"),
    [
        ({"key": Path("/no/such/key")}, "SSH key", "fail"),
        ({"key": None}, "SSH key", "warn"),
        ({"host": "10.0.0.2"}, "host keys", "fail"),
        ({"port": 2222, "host": "10.0.0.2"}, "host keys", "fail"),
        ({"known_hosts": Path("/no/such/known_hosts"), "ssh_args": ""}, "host keys", "fail"),
        ({"ssh_args": ""}, "Ansible's host keys", "warn"),
        ({"ssh_args": "-o 'unclosed"}, "ways", "fail"),
        ({"ssh_args": "-o KnownHostsCommand=/bin/true"}, "ways", "fail"),
        ({"not_followed": "ansible_connection: local"}, "ways", "fail"),
        ({"profile": None}, "profiles", "fail"),
        ({"device_class": None}, "profiles", "fail"),
    ],
)
def test_what_can_be_wrong_in_an_inventory(
    device: Device, changes: dict[str, Path | str | int | None], name: str, status: str
) -> None:
    broken = dataclasses.replace(device, **changes)  # type: ignore[arg-type]
    check = named(inventory.checks(Path("hosts.yml"), [broken], Path("deploy")), name)
    assert check.status == status


def test_of_many_wrong_devices_one_is_told_and_the_rest_counted(device: Device) -> None:
    fleet = [dataclasses.replace(device, name=f"thor-{n:02}", profile=None) for n in range(5)]
    check = named(inventory.checks(Path("hosts.yml"), fleet, Path("deploy")), "profiles")
    assert "thor-00" in check.found
    assert "4 more" in check.found


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_devices_answer_or_not(sshd: Sshd) -> None:
    good = Device("thor-01", "127.0.0.1", sshd.port, sshd.user, sshd.key, sshd.known_hosts)
    sshd.behave(answers("status", STATUS))
    checks = devices.checks([good, dataclasses.replace(good, name="thor-02", port=free_port())], {})
    assert [check.status for check in checks] == ["pass", "fail"]
    sshd.behave(says("", 127, "thor-agent: not found"))
    assert devices.checks([good], {})[0].status == "warn"


def test_the_verb(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(answers("status", STATUS))
    variables = {"thor_profile": "tiny-qwable", "thor_device_class": "simulated-container"}
    file = sshd.inventory(tmp_path / "hosts.yml", "thor-01", **variables)
    result = run(["-i", str(file), "doctor", "--devices"])
    assert result is not None
    assert result.exit_code == Exit.SUCCESS, result.view
    assert result.data["counts"]["fail"] == 0
    assert {check["area"] for check in result.data["checks"]} == {
        "machine",
        "project",
        "inventory",
        "devices",
    }
    sshd.key.chmod(0o644)
    try:
        broken = run(["-i", str(file), "doctor", "--json"])
    finally:
        sshd.key.chmod(0o600)
    assert broken is not None
    assert broken.exit_code == Exit.ERROR
    assert [problem.code for problem in broken.errors] == ["doctor_failed"]


def test_this_machine_is_ready_only_where_devices_answered() -> None:
    mine, device = Check("machine", "Python", "pass", "3.11"), Check("devices", "thor-01", "pass", "answers")
    for checks, verdict in (([mine], doctor.NOT_ASKED), ([mine, device], doctor.READY)):
        console = Console(width=200, file=StringIO(), record=True)
        console.print(doctor._view(checks))
        assert verdict in console.export_text()


def test_without_an_inventory_the_rest_is_still_checked(project: Path, tmp_path: Path) -> None:
    result = run(["--project", str(project), "doctor"])
    assert result is not None
    (check,) = [check for check in result.data["checks"] if check["area"] == "inventory"]
    assert (check["status"], "sim up" in check["remedy"]) == ("warn", True)


def test_machine_of_two_names_and_a_device_under_another_s_name_fail() -> None:
    status = {"state": "committed", "name": "thor-01", "machine": "a" * 16}
    good = devices.check(Answer("thor-01", {"data": status}))
    twice = devices.check(Answer("thor-02", {"data": status}), "thor-01")
    other = devices.check(Answer("thor-02", {"data": status}))
    assert [one.status for one in (good, twice, other)] == ["pass", "fail", "fail"]
    assert "the same machine as thor-01" in twice.found
    assert "answers as thor-01" in other.found
