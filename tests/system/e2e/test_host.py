"""thor_time, thor_host, thor_runtime on a device that others had set up in part before site.yml took it.

Check mode and a second run: test_site.py. Each switch of the roles: test_host_switches.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.host_world import ACCOUNT, EARLIER, THEIRS, Host
from tests.system.e2e.site_world import World
from tests.system.faults.container_ground import OLD

if TYPE_CHECKING:
    from tests.system.faults.container_ground import Ground

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module")
def converged(ground: Ground) -> Host:
    """A device that site.yml has provisioned."""
    return Host(World(ground.sim, ground.second.name, ground.project), OLD)


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


def test_a_mode_that_asks_for_a_restart_is_refused_not_waited_for(converged: Host) -> None:
    boot = converged.boot
    run = converged.converge(mode="90W")
    assert run.exit_code != 0
    text = " ".join(run.text.split())
    assert "power_mode_needs_reboot: thor-02 can only enter 90W by a restart, and a restart was not" in text
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
    assert "held: the device is on hold for 'on patrol'" in " ".join(run.text.split())
    assert converged.boot == boot


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
