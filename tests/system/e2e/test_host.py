"""thor_time, thor_host, thor_runtime on a bare device: rehearsed, converged, repeated; then each switch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.host_world import ACCOUNT, REPACK, Host
from tests.system.e2e.site_world import World, make_anew

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

pytestmark = pytest.mark.sim

DEVICE = "thor-01"
# What earlier versions wrote: provisioning moves such a device to the names that sort last.
EARLIER = (
    "/etc/systemd/journald.conf.d/50-thor.conf",
    "/etc/systemd/system.conf.d/50-thor.conf",
    "/etc/apt/apt.conf.d/99-thor-no-upgrades",
    "/etc/sysctl.d/50-thor-ipv6.conf",
)
THEIRS = '{"max-concurrent-downloads": 2, "insecure-registries": ["theirs.test:5000"]}'


@pytest.fixture(scope="module")
def host(sim: Simulated, project: Path) -> Iterator[Host]:
    """A bare device whose Docker somebody has set up in part; bare again afterwards."""
    make_anew(sim, DEVICE)
    host = Host(World(sim, DEVICE, project))
    host.run(f"echo '{THEIRS}' | sudo tee /etc/docker/daemon.json && sudo systemctl restart docker")
    host.run(f"sudo mkdir -p /etc/systemd/{{journald,system}}.conf.d && sudo touch {' '.join(EARLIER)}")
    yield host
    make_anew(sim, DEVICE)


@pytest.fixture(scope="module")
def rehearsed(host: Host) -> tuple[PlaybookRun, str, str]:
    """Check mode on the bare device, with what it was before and after."""
    before = host.snapshot()
    return host.converge("--check", "--diff"), before, host.snapshot()


@pytest.fixture(scope="module")
def first(host: Host, rehearsed: tuple[PlaybookRun, str, str]) -> PlaybookRun:
    """The first run that changes something."""
    return host.converge()


@pytest.fixture
def converged(host: Host, first: PlaybookRun) -> Host:
    """The device after it."""
    assert first.exit_code == 0, first.text
    return host


def test_a_rehearsal_foresees_and_changes_nothing(rehearsed: tuple[PlaybookRun, str, str]) -> None:
    run, before, after = rehearsed
    assert run.exit_code == 0, run.text
    clocks = "+++ after: /etc/systemd/system/thor-clocks.service"
    for part in (clocks, "+held: ", f"account {ACCOUNT}", "log-driver"):
        assert part in run.text
    assert before == after


def test_what_the_device_is_then(converged: Host) -> None:
    run = converged.run
    installed = run("dpkg-query -W -f '${Package}\\n' 'nvidia-*' docker.io containerd runc").split()
    assert len(installed) > 10
    assert sorted(run("apt-mark showhold").split()) == sorted(installed)
    assert 'APT::Periodic::Unattended-Upgrade "0";' in run("apt-config dump")
    assert run("systemctl is-enabled thor-clocks thor-recover docker").split() == ["enabled"] * 3
    assert run("systemctl is-active thor-clocks docker").split() == ["active"] * 2
    assert "gpu-gpc-0 MinFreq=1386000000 MaxFreq=1386000000" in run("sudo jetson_clocks --show")
    sleep = run(
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CanSuspend"
    )
    assert sleep in ('s "no"', 's "na"')
    name, _, uid, _, _, home, shell = run(f"getent passwd {ACCOUNT}").split(":")
    assert (name, int(uid) < 1000, home, shell) == (ACCOUNT, True, "/nonexistent", "/usr/sbin/nologin")
    assert run(f"sudo passwd --status {ACCOUNT}").split()[1] == "L"
    assert run(f"id -nG {ACCOUNT}") == ACCOUNT
    assert run("systemctl is-system-running") == "running"


def test_docker_s_settings_are_merged_and_rotate_logs(converged: Host) -> None:
    assert json.loads(converged.run("cat /etc/docker/daemon.json")) == {
        "insecure-registries": ["theirs.test:5000", "registry.thorctl.test:5000"],
        "log-driver": "json-file",
        "log-opts": {"max-file": "5", "max-size": "10m"},
        "max-concurrent-downloads": 2,
    }
    assert converged.run("cat /etc/docker/daemon.json.before-thorctl") == THEIRS
    assert "theirs.test:5000" in converged.run("sudo docker info")


def test_a_container_has_no_swap_watchdog_or_clock_of_its_own(converged: Host) -> None:
    assert (
        converged.run("sudo ls -A /var/lib/thor | grep swap; ls /etc/systemd/system | grep swap; true") == ""
    )
    assert converged.run("ls /etc/systemd/system.conf.d") == "watchdog.conf"  # Jetson Linux's own


def drift(host: Host) -> dict[str, str | None]:
    """The host's settings that are not in effect."""
    items = json.loads(host.run("sudo thor-agent status"))["data"]["drift"]
    return {item["what"]: item["found"] for item in items if item["scope"] == "host"}


def test_settings_are_in_effect_and_those_of_earlier_names_are_gone(converged: Host) -> None:
    run = converged.run
    assert drift(converged) == {}
    effective = run("systemd-analyze cat-config systemd/journald.conf").splitlines()
    limits = [line for line in effective if line.startswith("SystemMaxUse=")]
    assert (limits[0], limits[-1]) == (
        "SystemMaxUse=64M",
        "SystemMaxUse=500M",
    )  # sim.conf's, and the one that wins
    assert "system.journal" in run("sudo ls /var/log/journal/$(cat /etc/machine-id)")
    assert run(f"ls {' '.join(EARLIER)} 2>/dev/null; true") == ""


def test_a_file_that_has_the_last_word_is_named_by_status_and_by_the_run(converged: Host) -> None:
    other = "/etc/systemd/journald.conf.d/zzz-site.conf"
    converged.run(f"printf '[Journal]\\nStorage=volatile\\n' | sudo tee {other}")
    try:
        assert drift(converged) == {"journal": f"volatile ({other})"}
        told = " ".join(converged.converge().text.split())
    finally:
        converged.run(f"sudo rm {other}")
    assert f"not in effect: journal is volatile ({other}), should be persistent." in told
    assert drift(converged) == {}


def test_the_second_run_and_its_rehearsal_change_nothing(converged: Host) -> None:
    before = converged.snapshot()
    for options in ((), ("--check", "--diff")):
        again = converged.converge(*options)
        assert again.exit_code == 0, again.text
        assert again.total("changed") == 0, again.text
        assert "+++ after" not in again.text
    assert converged.snapshot() == before


def test_a_mode_that_asks_for_a_restart_is_refused_not_waited_for(converged: Host) -> None:
    boot = converged.boot
    run = converged.converge(mode="90W")
    assert run.exit_code != 0
    text = " ".join(run.text.split())
    assert "power_mode_needs_reboot: thor-01 can only enter 90W by a restart, and nobody allowed one" in text
    assert "thor_host_allow_reboot=true" in text
    assert (converged.boot, converged.run("nvpmodel -q").split()[3]) == (boot, "120W")


def test_a_device_on_patrol_is_not_restarted(converged: Host) -> None:
    boot = converged.boot
    converged.run("sudo thor-agent hold set 'on patrol'")
    try:
        run = converged.converge("-e", "thor_host_allow_reboot=true", mode="90W")
    finally:
        converged.run("sudo thor-agent hold clear")
    assert run.exit_code != 0
    assert "held: the device says 'on patrol'" in " ".join(run.text.split())
    assert converged.boot == boot


@pytest.mark.long
def test_outside_its_window_it_keeps_its_mode_and_goes_on(converged: Host) -> None:
    boot = converged.boot
    in_three_days = converged.run("LC_ALL=C date --date '+3 days' +%a")
    window = {"thor_host_maintenance_window": f"{in_three_days} 00:00-24:00"}
    run = converged.converge("-e", json.dumps(window), mode="90W")
    assert run.exit_code == 0, run.text
    assert "thor-01 stays in its power mode for now: 90W needs a restart" in " ".join(run.text.split())
    assert (converged.boot, converged.run("nvpmodel -q").split()[3]) == (boot, "120W")


def test_in_its_window_it_restarts_into_the_mode_once(converged: Host) -> None:
    boot = converged.boot
    opened = ("-e", json.dumps({"thor_host_maintenance_window": "daily 00:00-24:00"}))
    run = converged.converge(*opened, mode="90W")
    assert run.exit_code == 0, run.text
    assert converged.boot != boot
    assert converged.run("nvpmodel -q").split()[3] == "90W"
    # jetson_clocks is forgotten at a restart: its unit has run again, in the new mode.
    assert converged.run("systemctl is-active thor-clocks") == "active"
    assert "gpu-gpc-0 MinFreq=1530000000 MaxFreq=1530000000" in converged.run("sudo jetson_clocks --show")
    assert int(converged.run("sudo journalctl --list-boots -q --no-pager | wc -l")) >= 2  # kept on the disk
    boot = converged.boot
    again = converged.converge(*opened, mode="90W")
    assert (again.exit_code, again.total("changed")) == (0, 0), again.text
    back = converged.converge("-e", "thor_host_allow_reboot=true")
    assert back.exit_code == 0, back.text
    assert (converged.boot != boot, converged.run("nvpmodel -q").split()[3]) == (True, "120W")


@pytest.mark.long
def test_a_mode_that_needs_none_changes_the_clocks_too(converged: Host) -> None:
    boot = converged.boot
    try:
        run = converged.converge(mode="MAXN")
        assert run.exit_code == 0, run.text
        assert "gpu-gpc-0 MinFreq=1575000000 MaxFreq=1575000000" in converged.run("sudo jetson_clocks --show")
    finally:
        assert converged.converge().exit_code == 0
    assert converged.boot == boot


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_the_desktop_goes_only_if_asked_for(converged: Host) -> None:
    converged.run("sudo systemctl set-default graphical.target")
    assert converged.converge().total("changed") == 0
    assert converged.run("systemctl get-default") == "graphical.target"
    headless = ("-e", "thor_host_headless=true")
    assert converged.converge(*headless).exit_code == 0
    assert converged.run("systemctl get-default") == "multi-user.target"
    assert converged.converge(*headless).total("changed") == 0


@pytest.mark.long
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


@pytest.mark.long
def test_docker_s_data_are_never_lost_sight_of(converged: Host) -> None:
    new = ("-e", "thor_runtime_data_root=/var/lib/thor/docker")
    converged.run(
        "cd / && sudo tar c usr/bin/true | sudo docker import - keep:1 && sudo docker volume create keep"
    )
    ids = "sudo docker images --no-trunc --format '{{.ID}}'"
    images = converged.run(ids)
    refused = converged.converge(*new)
    assert refused.exit_code != 0
    assert "data_root_in_use: Docker has data in /var/lib/docker" in " ".join(refused.text.split())
    assert converged.run(ids) == images

    move = (*new, "-e", "thor_runtime_data_root_move=true")
    assert converged.converge(*move, "--check").exit_code == 0
    assert converged.run("sudo docker info --format '{{.DockerRootDir}}'") == "/var/lib/docker"
    moved = converged.converge(*move)
    assert moved.exit_code == 0, moved.text
    assert converged.run("sudo docker info --format '{{.DockerRootDir}}'") == "/var/lib/thor/docker"
    assert converged.run(ids) == images
    assert converged.run("sudo docker volume ls --quiet") == "keep"
    assert "/var/lib/thor/docker" in converged.run("systemctl show --property RequiresMountsFor docker")
    assert converged.converge(*new).total("changed") == 0
    converged.restart()
    assert converged.run("sudo docker volume ls --quiet") == "keep"


@pytest.mark.long
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
