"""A setting counts by what is in effect: written is not enough where another file has the last word."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import Programs, make_context
from thorctl.agent.drift.conf import Setting, effective
from thorctl.agent.drift.host_settings import compared

if TYPE_CHECKING:
    from pathlib import Path

ASKED: dict[str, Any] = {
    "watchdog_seconds": 120,
    "reboot_watchdog_seconds": 240,
    "journal_max": "500M",
    "sleep": False,
    "automatic_upgrades": False,
    "ipv6": False,
}
SLEEP = "\n".join(
    f"Allow{kind}=no" for kind in ("Suspend", "Hibernation", "SuspendThenHibernate", "HybridSleep")
)
PERIODIC = 'APT::Periodic::Unattended-Upgrade "{}";\n'
FILES = {
    "etc/machine-id": "a" * 32 + "\n",
    "etc/systemd/journald.conf": "[Journal]\n#Storage=auto\nSystemMaxUse=1G\n",
    "etc/systemd/journald.conf.d/zz-thor.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=500M\n",
    "etc/systemd/sleep.conf.d/zz-thor.conf": f"[Sleep]\n{SLEEP}\n",
    "usr/lib/systemd/system/packagekit.service": "[Unit]\n",
    "usr/bin/snap": "",
    "proc/sys/net/ipv6/conf/all/disable_ipv6": "1\n",
    "proc/sys/net/ipv6/conf/default/disable_ipv6": "1\n",
}
TOOLS: dict[str, str | int] = {
    "busctl": "t 120000000\nt 240000000\n",
    "apt-config": PERIODIC.format("0"),
    "systemctl": "enabled\n",
    "snap": "forever\n",
}
ALL = {"watchdog", "watchdog at a restart", "journal", "journal limit", "sleep", "automatic upgrades",
       "PackageKit", "snap refreshes", "IPv6"}  # fmt: skip


def device(root: Path, files: dict[str, str | None]) -> Path:
    (root / f"var/log/journal/{'a' * 32}").mkdir(parents=True)
    for name, content in {**FILES, **files}.items():
        if content is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
    (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/system/packagekit.service").symlink_to("/dev/null")
    return root


def wrong(root: Path, tools: dict[str, str | int] | None = None) -> dict[str, Any]:
    items = compared(make_context(root, Programs({**TOOLS, **(tools or {})})), ASKED)
    assert {item.what for item in items} | {"snap refreshes"} == ALL
    assert all((item.found is None) == (item.same is None) for item in items)
    return {item.what: item.found for item in items if item.same is not True}


def test_what_site_yml_wrote_is_in_effect(tmp_path: Path) -> None:
    assert wrong(device(tmp_path, {})) == {}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"etc/systemd/journald.conf.d/zzz.conf": "[Journal]\nStorage = volatile\n"},
            {"journal": "volatile (/etc/systemd/journald.conf.d/zzz.conf)"},
        ),
        (
            {"usr/lib/systemd/journald.conf.d/zzz.conf": "[Journal]\nSystemMaxUse=64M\n"},
            {"journal limit": "64M (/usr/lib/systemd/journald.conf.d/zzz.conf)"},
        ),
        (
            {"etc/systemd/journald.conf.d/zz-thor.conf": None},
            {"journal": "auto (default)", "journal limit": "1G (/etc/systemd/journald.conf)"},
        ),
        (
            {"etc/machine-id": "b" * 32},
            {"journal": "not on the disk (/etc/systemd/journald.conf.d/zz-thor.conf)"},
        ),
        (
            {"run/systemd/sleep.conf.d/zzz.conf": "[Sleep]\nAllowSuspend=yes\n"},
            {"sleep": "AllowSuspend=yes (/run/systemd/sleep.conf.d/zzz.conf)"},
        ),
        (
            {"usr/lib/systemd/system/packagekit-offline-update.service": ""},
            {"PackageKit": "packagekit-offline-update.service"},
        ),
        ({"proc/sys/net/ipv6/conf/default/disable_ipv6": "0\n"}, {"IPv6": "on"}),
        ({"proc/sys/net/ipv6/conf/all/disable_ipv6": None}, {"IPv6": None}),
        ({"usr/bin/snap": None}, {}),
    ],
)
def test_who_has_the_last_word_is_named(
    tmp_path: Path, files: dict[str, str | None], told: dict[str, Any]
) -> None:
    assert wrong(device(tmp_path, files)) == told


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ({"busctl": "t 15000000\nt 600000000\n"}, {"watchdog": 15, "watchdog at a restart": 600}),
        ({"busctl": 1}, {"watchdog": None, "watchdog at a restart": None}),
        ({"apt-config": PERIODIC.format("1")}, {"automatic upgrades": "on"}),
        ({"apt-config": PERIODIC.format("1"), "systemctl": "masked\n"}, {}),
        ({"apt-config": 1, "systemctl": 1}, {"automatic upgrades": None}),
        ({"snap": "2026-12-24T00:00:00Z\n"}, {"snap refreshes": "held until 2026-12-24T00:00:00Z"}),
        ({"snap": "\n"}, {"snap refreshes": "not held"}),
        ({"snap": 1}, {"snap refreshes": None}),
    ],
)
def test_what_programs_say_and_do_not_say(
    tmp_path: Path, tools: dict[str, str | int], told: dict[str, Any]
) -> None:
    assert wrong(device(tmp_path, {}), tools) == told


def test_files_that_cannot_be_read_are_unknown(tmp_path: Path) -> None:
    root = device(tmp_path, {})
    for name in ("journald.conf.d/broken.conf", "sleep.conf.d/broken.conf"):
        (root / "etc/systemd" / name).symlink_to("/nowhere/at/all")
    assert wrong(root) == {"journal": None, "journal limit": None, "sleep": None}


@pytest.mark.parametrize("asked", [{}, dict.fromkeys(ASKED), {"of a later version": 1}])
def test_what_nobody_asked_for_is_not_compared(tmp_path: Path, asked: dict[str, Any]) -> None:
    assert compared(make_context(tmp_path), asked) == []


CONF = "system.conf"
LAYERS = {
    "etc/systemd/system.conf": "[Manager]\n#RuntimeWatchdogSec=off\nRebootWatchdogSec=10min\n",
    "etc/systemd/system.conf.d/50-thor.conf": "[Manager]\nRuntimeWatchdogSec=60\n",
    "etc/systemd/system.conf.d/watchdog.conf": "[Manager]\nRuntimeWatchdogSec=120\n",
    "usr/lib/systemd/system.conf.d/watchdog.conf": "[Manager]\nRebootWatchdogSec=1min\n",
    "run/systemd/system.conf.d/a.conf": "; comment\n[Manager]\nLogLevel=debug\nLogLevel=\n",
}


def test_the_last_file_in_the_alphabet_wins_as_systemd_has_it(tmp_path: Path) -> None:
    """50-thor.conf loses against L4T's watchdog.conf, zz-thor.conf does not: systemd's own tool agrees."""
    for name, content in LAYERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    theirs = Setting("120", "/etc/systemd/system.conf.d/watchdog.conf")
    found = effective(tmp_path, CONF)
    assert found == {
        "RuntimeWatchdogSec": theirs,
        "RebootWatchdogSec": Setting("10min", f"/etc/systemd/{CONF}"),
    }
    assert last_by_systemd(tmp_path) == theirs.value
    (tmp_path / "etc/systemd/system.conf.d/zz-thor.conf").write_text("[Manager]\nRuntimeWatchdogSec=60\n")
    assert effective(tmp_path, CONF)["RuntimeWatchdogSec"].value == "60" == last_by_systemd(tmp_path)


def last_by_systemd(root: Path) -> str:
    words = ["systemd-analyze", f"--root={root}", "cat-config", f"systemd/{CONF}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    values = [
        line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("RuntimeWatchdogSec")
    ]
    return values[-1]
