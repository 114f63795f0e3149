"""Container devices are whole machines: booted, reached by SSH, with an engine of their own."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.doubles import light_image
from thorctl.inventory.simulations import HUB, REGISTRY
from thorctl.sim import devices
from thorctl.sim.registry import ENGINE_REPOSITORY, ENGINE_TAG

if TYPE_CHECKING:
    from tests.support.simulated import Simulated

pytestmark = pytest.mark.sim

BOTH = ("thor-01", "thor-02")
REBOOT_SECONDS = 60
PROBE = """
import os
shared = os.statvfs("/dev/shm")
print(os.uname().nodename, shared.f_blocks * shared.f_frsize >> 20)
"""


@pytest.fixture
def sim(bare: Simulated) -> Simulated:
    """Devices that are rebooted, cut off and configured here."""
    return bare


@pytest.mark.parametrize("device", BOTH)
def test_booted_with_no_failed_unit(sim: Simulated, device: str) -> None:
    assert sim.run(device, "systemctl is-system-running") == "running"
    assert sim.run(device, "systemctl list-units --failed --no-legend") == ""
    for unit in ("ssh", "docker", "containerd"):
        assert sim.run(device, f"systemctl is-active {unit}") == "active"


@pytest.mark.parametrize("path", ["/etc/hostname", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"])
def test_devices_have_identities_of_their_own(sim: Simulated, path: str) -> None:
    first, second = (sim.run(device, f"cat {path}") for device in BOTH)
    assert first
    assert second
    assert first != second


def test_devices_have_host_keys_of_their_own_and_the_key_is_checked(sim: Simulated, tmp_path: Path) -> None:
    lines = sim.simulation.known_hosts.read_text().splitlines()
    addresses, keys = zip(*(line.split(" ", 1) for line in lines), strict=True)
    assert len(set(keys)) == len(BOTH)
    swapped = tmp_path / "known_hosts"
    swapped.write_text("".join(f"{a} {k}\n" for a, k in zip(addresses, reversed(keys), strict=True)))
    refused = sim.ssh("thor-01", "true", known_hosts=swapped)
    assert refused.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr


def test_an_unknown_host_is_not_trusted(sim: Simulated, tmp_path: Path) -> None:
    refused = sim.ssh("thor-01", "true", known_hosts=tmp_path / "empty")
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_no_password_gets_in_and_root_does_not(sim: Simulated) -> None:
    offered = sim.ssh("thor-01", "true", options=("-o", "PubkeyAuthentication=no"))
    assert offered.returncode == 255
    assert "Permission denied (publickey)" in offered.stderr
    key = sim.run("thor-01", "cat ~/.ssh/authorized_keys")
    sim.run("thor-01", f"echo '{key}' | sudo install -D -m 600 /dev/stdin /root/.ssh/authorized_keys")
    root = sim.ssh("thor-01", "true", user="root")
    assert root.returncode == 255
    assert "Permission denied (publickey)" in root.stderr


def test_the_administrator_becomes_root_without_a_password(sim: Simulated) -> None:
    assert sim.run("thor-01", "sudo -n id -u") == "0"


def test_it_says_that_it_is_a_thor(sim: Simulated) -> None:
    tree = "/sys/firmware/devicetree/base"
    compatible = sim.run("thor-01", f"tr '\\0' '\\n' < {tree}/compatible")
    assert compatible.splitlines() == ["nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"]
    model = sim.run("thor-01", f"tr -d '\\0' < {tree}/model")
    assert model == "NVIDIA Jetson AGX Thor Developer Kit"
    assert sim.run("thor-01", "head -1 /etc/nv_tegra_release").startswith("# R38 (release), REVISION: 4.0,")
    assert sim.run("thor-01", "dpkg-query -W -f '${Version}' nvidia-l4t-core") == "38.4.0-20251230160601"


def test_its_tools_answer(sim: Simulated) -> None:
    assert "NVIDIA Thor" in sim.run("thor-01", "nvidia-smi")
    assert sim.run("thor-01", "nvpmodel -q").splitlines() == ["NV Power Mode: 120W", "1"]


def test_devices_find_each_other_and_the_services_by_name(sim: Simulated) -> None:
    names = ("thor-02", "hub.thorctl.test", "registry.thorctl.test")
    found = [sim.run("thor-01", f"getent hosts {name}").split()[0] for name in names]
    simulation = sim.simulation
    assert found == [
        simulation.device("thor-02").address,
        simulation.hub_address,
        simulation.registry_address,
    ]


def test_the_controller_reaches_registry_and_hub(sim: Simulated) -> None:
    via = sim.simulation.via
    tags = httpx.get(f"{via[REGISTRY]}/v2/{ENGINE_REPOSITORY}/tags/list", trust_env=False)
    assert ENGINE_TAG in tags.json()["tags"]
    model = httpx.get(f"{via[HUB]}/api/models/thorctl/tiny-qwable/revision/main", trust_env=False)
    assert len(model.json()["sha"]) == 40


def test_its_engine_pulls_by_digest_and_runs_as_the_service_does(sim: Simulated) -> None:
    settings = shlex.quote(json.dumps({"insecure-registries": [REGISTRY]}))
    device = "thor-02"
    sim.run(
        device,
        f"echo {settings} | sudo tee /etc/docker/daemon.json && sudo systemctl restart docker",
    )
    light_image.push(sim.client, sim.simulation, light_image.ensure(sim.client, "amd64"))
    url = f"{sim.simulation.via[REGISTRY]}/v2/{light_image.REPOSITORY}/manifests/amd64"
    accept = "application/vnd.docker.distribution.manifest.v2+json"
    digest = httpx.head(url, headers={"Accept": accept}, trust_env=False).headers["Docker-Content-Digest"]
    image = f"{REGISTRY}/{light_image.REPOSITORY}@{digest}"
    sim.run(device, f"sudo docker pull -q {image}")
    python = f"--entrypoint /usr/bin/python3.11 {image} -S -c"
    said = sim.run(
        device,
        "sudo docker run --rm --network host --read-only --cap-drop ALL --security-opt no-new-privileges"
        f" --shm-size 1g --tmpfs /tmp {python} {shlex.quote(PROBE)}",
    ).split()
    assert said == [device, "1024"]  # the host's network, hence its name

    # Groups beside the device's own would outlive it, and collide with the next one's.
    sleep = shlex.quote("import time; time.sleep(60)")
    sim.run(device, f"sudo docker run --detach --network none {python} {sleep}")
    container = sim.container(device)
    processes = container.top(ps_args="-eo pid,comm")["Processes"]
    assert {"dockerd", "python3.11"} <= {name for _, name in processes}
    for pid, name in processes:
        groups = Path("/proc", pid, "cgroup").read_text().splitlines()
        beside = [line for line in groups if f"{container.id}/device" not in line]
        assert not beside, name
    assert sim.run(device, "sudo docker info -f '{{.CgroupDriver}} {{.Driver}}'") == "systemd overlay2"


def test_an_orderly_reboot_from_within_keeps_state_and_identity(sim: Simulated) -> None:
    device = "thor-01"
    key = sim.simulation.known_hosts.read_text()
    boot = sim.run(device, "cat /proc/sys/kernel/random/boot_id")
    sim.run(device, "echo kept | sudo tee /var/lib/thor/kept /etc/kept; sudo touch /run/gone")
    sim.ssh(device, "sudo systemctl reboot")
    deadline = time.monotonic() + REBOOT_SECONDS
    while sim.ssh(device, f"test $(cat /proc/sys/kernel/random/boot_id) != {boot}").returncode:
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.2)
    devices.wait_booted(sim.container(device), device)
    assert sim.run(device, "cat /var/lib/thor/kept /etc/kept") == "kept\nkept"
    assert sim.ssh(device, "test -e /run/gone").returncode == 1
    assert sim.simulation.known_hosts.read_text() == key


def test_a_power_cut_leaves_it_off_until_it_is_switched_on(sim: Simulated) -> None:
    device = "thor-01"
    sim.run(device, "sudo sh -c 'echo kept > /var/lib/thor/kept; sync'")
    devices.cut(sim.client, sim.name, device)
    assert sim.container(device).status == "exited"
    assert sim.ssh(device, "true").returncode == 255
    devices.power_on(sim.client, sim.name, device)
    assert sim.run(device, "cat /var/lib/thor/kept") == "kept"
    assert sim.run(device, "systemctl is-system-running") == "running"
