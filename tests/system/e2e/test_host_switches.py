"""thor_time, thor_host, thor_runtime: each switch, on a device that has no release."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.host_world import REPACK, USED_BEFORE, Host
from tests.system.e2e.site_world import PROFILE, World, make_anew

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

pytestmark = [pytest.mark.sim, pytest.mark.long]

DEVICE = "thor-01"


@pytest.fixture(scope="module")
def host(sim: Simulated, project: Path) -> Iterator[Host]:
    """A bare device; bare again afterwards."""
    make_anew(sim, DEVICE)
    host = Host(World(sim, DEVICE, project), PROFILE)
    host.run(f"sudo sh -c {shlex.quote(USED_BEFORE)}")
    yield host
    make_anew(sim, DEVICE)


@pytest.fixture(scope="module")
def first(host: Host) -> PlaybookRun:
    """The first run."""
    return host.converge()


@pytest.fixture
def converged(host: Host, first: PlaybookRun) -> Host:
    """The device after it."""
    assert first.exit_code == 0, first.text
    return host


def test_outside_its_window_it_keeps_its_mode_and_goes_on(converged: Host) -> None:
    boot = converged.boot
    in_three_days = converged.run("LC_ALL=C date --date '+3 days' +%a")
    window = {"thor_host_maintenance_window": f"{in_three_days} 00:00-24:00"}
    run = converged.converge("-e", json.dumps(window), mode="90W")
    assert run.exit_code == 0, run.text
    assert "thor-01 stays in its power mode for now: 90W needs a restart" in " ".join(run.text.split())
    assert (converged.boot, converged.run("nvpmodel -q").split()[3]) == (boot, "120W")


def test_a_mode_that_needs_none_changes_the_clocks_too(converged: Host) -> None:
    boot = converged.boot
    try:
        run = converged.converge(mode="MAXN")
        assert run.exit_code == 0, run.text
        assert "gpu-gpc-0 MinFreq=1575000000 MaxFreq=1575000000" in converged.run("sudo jetson_clocks --show")
    finally:
        assert converged.converge().exit_code == 0
    assert converged.boot == boot


def test_clocks_that_are_bound_to_the_engine_go_down_with_it(converged: Host) -> None:
    unit = "/etc/systemd/system/thor-engine.service"
    converged.run(f"printf '[Service]\\nExecStart=/bin/sleep infinity\\n' | sudo tee {unit}")
    locked = "sudo jetson_clocks --show | grep -c FreqOverride=1; true"
    try:
        run = converged.converge("-e", "thor_host_clocks_while=serving")
        assert run.exit_code == 0, run.text
        converged.run(
            "sudo systemctl stop thor-clocks && sudo jetson_clocks --store /tmp/was && sudo rm /tmp/was"
        )
        for action, expected in (("start", "1"), ("restart", "1"), ("stop", "0"), ("start", "1")):
            converged.run(f"sudo systemctl {action} thor-engine")
            assert converged.run(locked) == expected, action
    finally:
        converged.run(f"sudo systemctl stop thor-engine; sudo rm -f {unit}")
        assert converged.converge().exit_code == 0
    assert converged.run(locked) == "1"


def test_what_is_switched_off_is_taken_back(converged: Host) -> None:
    # As words, the way a person says it: Ansible takes them for text, in which "false" is something.
    no = (
        "-e",
        "thor_host_clocks=false thor_host_automatic_upgrades=yes",
        "-e",
        '{"thor_host_journal_max": null}',
    )
    off = (*no, "-e", "thor_host_packages=released thor_runtime_packages=released")
    run = converged.converge(*off)
    assert run.exit_code == 0, run.text
    assert converged.run("apt-mark showhold") == ""
    assert "Periodic::Unattended" not in converged.run("apt-config dump")
    assert (
        converged.run("sudo find /etc -name 'thor-clocks*' -o -path '*/journald.conf.d/zz-thor.conf'") == ""
    )
    again = converged.converge(*off)
    assert again.total("changed") == 0, again.text
    alone = (*no, "-e", "thor_host_packages=alone thor_runtime_packages=alone")
    converged.run("sudo apt-mark hold nvidia-l4t-core")
    told = converged.converge(*alone)  # device.json says now that they are nobody's business
    assert (told.exit_code, told.total("changed")) == (0, 1), told.text
    assert converged.run("apt-mark showhold") == "nvidia-l4t-core"
    assert converged.converge(*alone).total("changed") == 0
    assert converged.converge().exit_code == 0
    assert converged.converge().total("changed") == 0


def test_the_desktop_goes_only_if_asked_for(converged: Host) -> None:
    converged.run("sudo systemctl set-default graphical.target")
    assert converged.converge().total("changed") == 0
    assert converged.run("systemctl get-default") == "graphical.target"
    headless = ("-e", "thor_host_headless=true")
    assert converged.converge(*headless).exit_code == 0
    assert converged.run("systemctl get-default") == "multi-user.target"
    assert converged.converge(*headless).total("changed") == 0


def test_nvidia_s_runtime_is_registered_once(converged: Host) -> None:
    nvidia = ("-e", "thor_runtime_nvidia=true")
    converged.run("sudo systemctl reset-failed docker")  # started three times in a minute by the fixtures
    foreseen = converged.converge(*nvidia, "--check")
    assert "would get the runtime nvidia" in foreseen.text
    run = converged.converge(*nvidia)
    assert run.exit_code == 0, run.text
    assert "nvidia" in json.loads(converged.run("sudo docker info --format '{{json .Runtimes}}'"))
    assert json.loads(converged.run("cat /etc/docker/daemon.json"))["max-concurrent-downloads"] == 2
    # Without the links a daemon-reload takes the GPU from a running container.
    assert converged.run("readlink /dev/char/195:255") == "/dev/nvidiactl"
    assert "create-dev-char-symlinks" in converged.run("cat /etc/udev/rules.d/71-nvidia-dev-char.rules")
    again = converged.converge(*nvidia)
    assert again.total("changed") == 0, again.text


def test_a_device_without_docker_is_rehearsed_and_gets_it(converged: Host) -> None:
    converged.run(REPACK)
    converged.run(
        "sudo apt-mark unhold docker.io && sudo apt-get purge --yes docker.io && sudo rm -rf /etc/docker"
    )
    without = ("-e", "thor_runtime_packages=released")
    foreseen = converged.converge(*without, "--check", "--diff")
    assert foreseen.exit_code == 0, foreseen.text
    assert "thor-01 would get Docker: docker.io" in foreseen.text
    assert converged.run("command -v dockerd; true") == ""
    run = converged.converge()
    assert run.exit_code == 0, run.text
    assert converged.run("systemctl is-enabled docker; systemctl is-active docker").split() == [
        "enabled",
        "active",
    ]
    assert converged.run("sudo docker info --format '{{.LoggingDriver}}'") == "json-file"
    assert "docker.io" in converged.run("apt-mark showhold").split()
    assert converged.converge().total("changed") == 0
