"""A whole aarch64 machine: preflight.yml, thor_host and thor_runtime, a real reboot, and the same again."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.site_world import THORCTL
from tests.system.vm.conftest import BOOT_TIMEOUT, DEVICE

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.vm.conftest import Rebooted, VirtualWorld

pytestmark = [pytest.mark.sim, pytest.mark.vm, pytest.mark.timeout(BOOT_TIMEOUT)]

HELD = ("nvidia-l4t-core", "nvidia-l4t-kernel", "nvidia-jetpack", "linux-image-arm64", "docker.io")


def test_it_boots_as_a_thor_with_no_failed_unit(bare: VirtualWorld) -> None:
    tree = "/proc/device-tree"
    assert bare.run(f"tr -d '\\0' < {tree}/model") == "NVIDIA Jetson AGX Thor Developer Kit"
    assert bare.run(f"tr '\\0' '\\n' < {tree}/compatible").splitlines()[-1] == "nvidia,tegra264"
    assert bare.run("uname -m") == "aarch64"
    assert bare.run("systemctl is-system-running") == "running"
    assert bare.run("systemctl list-units --failed --no-legend") == ""
    assert bare.run("findmnt -no FSTYPE /") == "ext4"


def test_the_bare_machine_passes_the_preflight_and_nothing_changes(first_preflight: PlaybookRun) -> None:
    assert first_preflight.exit_code == 0, first_preflight.text
    assert first_preflight.total("changed") == 0


def test_the_roles_pass_on_the_bare_machine(first_run: PlaybookRun) -> None:
    assert first_run.exit_code == 0, first_run.text
    assert first_run.total("changed") > 0


def test_it_came_back_from_a_real_reboot(bare: VirtualWorld, rebooted: Rebooted) -> None:
    assert bare.run("cat /proc/sys/kernel/random/boot_id") != rebooted.boot_before
    assert bare.run("systemctl is-system-running") == "running"
    boots = bare.run("sudo journalctl --list-boots -q --no-pager").splitlines()
    assert len(boots) == 2


def test_the_preflight_passes_again(rebooted: Rebooted) -> None:
    assert rebooted.preflight.exit_code == 0, rebooted.preflight.text
    assert rebooted.preflight.total("changed") == 0


def test_the_roles_change_nothing_after_the_reboot(rebooted: Rebooted) -> None:
    assert rebooted.second_run.exit_code == 0, rebooted.second_run.text
    assert rebooted.second_run.total("changed") == 0, rebooted.second_run.text


def test_what_must_run_at_boot_ran(bare: VirtualWorld, rebooted: Rebooted) -> None:
    for unit in ("thor-recover", "thor-clocks", "docker", "ssh"):
        assert bare.run(f"systemctl is-enabled {unit}") == "enabled", unit
        assert bare.run(f"systemctl is-active {unit}") == "active", unit
    recovered = json.loads(bare.run("sudo thor-agent recover"))
    assert recovered["ok"] is True
    assert "FreqOverride=1" in bare.run("sudo jetson_clocks --show")


def test_what_was_set_survived(bare: VirtualWorld, rebooted: Rebooted) -> None:
    assert bare.run("nvpmodel -q").splitlines()[0] == "NV Power Mode: 120W"
    held = bare.run("apt-mark showhold").splitlines()
    assert [name for name in HELD if name not in held] == []
    manager = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
    watchdogs = bare.run(f"busctl get-property {manager} RuntimeWatchdogUSec RebootWatchdogUSec")
    assert watchdogs.splitlines() == ["t 100000000", "t 240000000"]  # Jetson Linux's own file says 120 s
    assert bare.run("swapon --show=NAME --noheadings") == "/var/lib/thor/swapfile"
    assert bare.run("timedatectl show -p NTPSynchronized --value") == "yes"


def test_docker_has_kept_its_settings(bare: VirtualWorld, rebooted: Rebooted) -> None:
    runtimes = json.loads(bare.run("sudo docker info -f '{{json .Runtimes}}'"))
    assert "nvidia" in runtimes
    daemon = json.loads(bare.run("cat /etc/docker/daemon.json"))
    assert daemon["log-driver"] == "json-file"
    assert "registry.thorctl.test:5000" in daemon["insecure-registries"]


def test_the_agent_knows_the_machine(bare: VirtualWorld, rebooted: Rebooted) -> None:
    facts = json.loads(bare.run("sudo thor-agent facts"))["data"]
    assert facts["architecture"] == "aarch64"
    assert facts["l4t"]["revision_full"] == "38.4.0"
    assert facts["module"] == "T5000"
    assert facts["clock_synchronized"] is True
    assert facts["docker"]["default_runtime"] == "runc"
    assert facts["memory"]["swap_total_bytes"] > 0


def test_thorctl_reaches_it_within_the_default_time_limits(bare: VirtualWorld, rebooted: Rebooted) -> None:
    """The slowest device that there is: an emulated processor."""
    words = [str(THORCTL), "--project", str(bare.deploy.parent), "-i", str(bare.sim.simulation.inventory)]
    for verb in ("status", "doctor"):
        done = subprocess.run([*words, verb, "--json"], capture_output=True, text=True, check=False)
        errors = {one["code"] for one in json.loads(done.stdout)["errors"]}
        assert not errors & {"agent_timeout", "device_unreachable"}, done.stdout


def test_it_is_listed_with_the_other_devices(bare: VirtualWorld) -> None:
    from thorctl.cli.main import run

    listed = run(["sim", "list"])
    assert listed is not None
    (simulation,) = (s for s in listed.data["simulations"] if s["name"] == bare.sim.name)
    (device,) = simulation["devices"]
    assert (device["name"], device["kind"], device["status"]) == (DEVICE, "virtual", "running")
