"""Units, boot target and watchdog of a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import host, systemd

if TYPE_CHECKING:
    from collections.abc import Callable

# `systemctl show` of three units: running, never started, started where its condition is not met.
SHOWN = """\
Id=ssh.service
ActiveState=active
NeedDaemonReload=no
ConditionResult=yes
ConditionTimestampMonotonic=1141955174

Id=thor-clocks.service
ActiveState=inactive
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=0

Id=other.service
ActiveState=inactive
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=7
"""


def test_only_what_could_run_and_does_not_is_started(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"systemctl show": SHOWN, "systemctl start": ""})
    notes: list[str] = []
    names = ["ssh.service", "thor-clocks.service", "other.service"]
    changes = list(systemd.units(names, notes))
    assert [(change.what, change.before, change.after) for change in changes] == [
        ("thor-clocks.service", "inactive", "active")
    ]
    assert notes == ["other.service: its condition is not met here"]
    changes[0].make()
    assert ran[-1] == ("systemctl", "start", "thor-clocks.service")


def test_a_unit_that_does_not_start_says_why(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    answers({"systemctl start": (1, "Job failed."), "journalctl --unit": "jetson_clocks: no such clock"})
    with pytest.raises(host.HostError, match=r"unit_failed: x does not start — Job failed\.\njetson_clocks"):
        systemd.start("x")


WATCHDOG_FILES = """\
# /etc/systemd/systemd.conf
[Manager]
#RuntimeWatchdogSec=off

# /etc/systemd/systemd.conf.d/watchdog.conf
[Manager]
RuntimeWatchdogSec = 120

# /etc/systemd/systemd.conf.d/zzz-site.conf
[Manager]
RuntimeWatchdogSec=15
"""


def test_a_watchdog_that_systemd_does_not_take_is_a_failure_that_names_the_file(
    answers: Callable[..., list[tuple[str, ...]]],
) -> None:
    said = {"systemctl daemon-reexec": "", "systemd-analyze cat-config": WATCHDOG_FILES}
    answers({**said, "busctl get-property": "t 15000000\n"})
    with pytest.raises(host.HostError) as caught:
        systemd.set_watchdog({"RuntimeWatchdogSec": 60.0})
    assert "watchdog_not_taken: systemd has RuntimeWatchdogSec 15 s, not 60 s" in str(caught.value)
    assert "/etc/systemd/systemd.conf.d/zzz-site.conf says RuntimeWatchdogSec=15" in str(caught.value)
    answers({**said, "busctl get-property": "t 60000000\n"})
    systemd.set_watchdog({"RuntimeWatchdogSec": 60.0})


def test_both_watchdogs_are_looked_at(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = answers({"busctl get-property": "t 0\n"})
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert list(systemd.watchdog(0, 0, [])) == []
    assert [words[-1] for words in ran] == ["RuntimeWatchdogUSec", "RebootWatchdogUSec"]
    (change,) = systemd.watchdog(0, 240, [])
    assert (change.before, change.after) == (
        "RuntimeWatchdogSec 0 s; RebootWatchdogSec 0 s",
        "RuntimeWatchdogSec 0 s; RebootWatchdogSec 240 s",
    )
