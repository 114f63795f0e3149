"""`thorctl sim`: up is repeatable and grows, down leaves nothing of it, also of what broke half way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.result import Exit
from thorctl.sim import layout, objects, services, state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from thorctl.result import Result

pytestmark = pytest.mark.sim

NAME = f"test-{os.getpid()}-own"
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(autouse=True)
def own(docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A simulation of this test's own; whatever happens, nothing of it stays."""
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path / "sim"))
    monkeypatch.delenv("THORCTL_SIM", raising=False)
    yield
    objects.remove(docker_client, NAME)


def sim(*words: str) -> Result:
    result = run(["--quiet", "sim", *words, "--name", NAME])
    assert result is not None
    return result


def containers(client: DockerClient) -> list[Any]:
    return client.containers.list(all=True, filters={"label": f"{layout.LABEL}={NAME}"})


def mount_options(place: str) -> str:
    return next(line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == place)


def test_up_again_grows_and_repeats_nothing_and_down_leaves_nothing(
    docker_client: DockerClient, tmp_path: Path
) -> None:
    cgroups_before = sorted(path.name for path in CGROUPS.iterdir())
    options_before = mount_options(str(CGROUPS))
    assert sim("up", "--devices", "1").exit_code == Exit.SUCCESS
    first = {c.id for c in containers(docker_client)}
    key = state.load(NAME).private_key.read_bytes()

    grown = sim("up", "--devices", "3", "--sites", "lab,hall", "--disk", "32m")
    assert [d["site"] for d in grown.data["simulation"]["devices"]] == ["lab", "hall", "lab"]
    assert first < {c.id for c in containers(docker_client)}
    assert state.load(NAME).private_key.read_bytes() == key
    listed = run(["sim", "list"])
    assert listed is not None
    assert NAME in {s["name"] for s in listed.data["simulations"]}
    assert sim("inventory").data["path"] == str(state.load(NAME).inventory)
    small = docker_client.containers.get(layout.container(NAME, "thor-02"))
    size = small.exec_run("df -m --output=size /var/lib/thor").output
    assert isinstance(size, bytes)
    assert size.split()[-1] == b"32"

    all_of_it = containers(docker_client)
    ids = [str(c.id) for c in all_of_it]
    places = [c.attrs["GraphDriver"]["Data"]["MergedDir"] for c in all_of_it]
    places += [c.attrs["NetworkSettings"]["SandboxKey"] for c in all_of_it]
    volumes = [m["Name"] for c in all_of_it for m in c.attrs["Mounts"] if m["Type"] == "volume"]
    assert len(ids) == 5  # three devices, registry, hub

    assert sim("down").exit_code == Exit.SUCCESS
    assert not containers(docker_client)
    assert NAME not in objects.names(docker_client)
    left = {v.name for v in docker_client.volumes.list()} & set(volumes)
    assert left <= {layout.REGISTRY_VOLUME}
    mounts = Path("/proc/self/mountinfo").read_text()
    assert not [place for place in places if place in mounts]
    assert not [path for path in CGROUPS.rglob("*") if path.name in ids]
    assert sorted(path.name for path in CGROUPS.iterdir()) == cgroups_before
    assert mount_options(str(CGROUPS)) == options_before
    assert not (tmp_path / "sim").exists()
    assert sim("inventory").exit_code == Exit.ERROR


def test_what_broke_half_way_is_said_and_removed(
    docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ThorError("sim_service_not_ready", "the registry did not answer", "thorctl sim down")

    monkeypatch.setattr(services, "ensure", fail)
    broken = sim("up", "--devices", "1")
    assert broken.exit_code == Exit.ERROR
    assert broken.errors[0].code == "sim_service_not_ready"
    assert containers(docker_client)
    assert sim("down").exit_code == Exit.SUCCESS
    assert NAME not in objects.names(docker_client)


def test_down_removes_what_has_no_state(docker_client: DockerClient) -> None:
    docker_client.volumes.create(layout.volume(NAME, "thor-01", "docker"), labels={layout.LABEL: NAME})
    taken = sim("up")
    assert taken.errors[0].code == "sim_name_taken"  # it may be another checkout's: `up` destroys nothing
    assert sim("down").data["removed"] == {NAME: 1}
    assert sim("down").data["removed"] == {NAME: 0}
