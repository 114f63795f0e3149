# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""systemd's units, boot target and watchdog. Runs on the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    from collections.abc import Iterable


MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def watchdog(seconds: int, at_reboot: int | None, notes: list[str]) -> Iterable[host.Change]:
    """Yield the change of systemd's watchdog intervals; None: unmanaged."""
    if not (Path("/dev/watchdog0").exists() or Path("/dev/watchdog").exists()):
        notes.append("this device has no watchdog")
        return
    wanted = {"RuntimeWatchdogSec": seconds, "RebootWatchdogSec": at_reboot}
    before = {name: watchdog_seconds(name) for name, value in wanted.items() if value is not None}
    after = {name: float(wanted[name]) for name in before}
    if before != after:
        words = ["; ".join(f"{name} {value:g} s" for name, value in one.items()) for one in (before, after)]
        yield host.Change("watchdog", *words, lambda: set_watchdog(after))


def set_watchdog(wanted: dict[str, float]) -> None:
    """Make systemd read its files again, and verify the result."""
    host.ask("systemctl", "daemon-reexec")
    for name, seconds in wanted.items():
        now = watchdog_seconds(name)
        if now != seconds:
            raise host.HostError(
                f"watchdog_not_taken: systemd has {name} {now:g} s, not {seconds:g} s — {said_by(name)}; "
                "`journalctl -b _PID=1` tells whether the device has such an interval; leave it alone "
                "with thor_host_watchdog_seconds: null"
            )


def said_by(name: str) -> str:
    """Return the file whose setting is effective: of those in a .d directory the alphabetically last one."""
    place, found = "", ""
    for line in host.run("systemd-analyze", "cat-config", "systemd/system.conf").stdout.splitlines():
        if line.startswith("# /"):
            place = line[2:]
        elif line.replace(" ", "").startswith(f"{name}="):
            found = f"{place} says {line.strip()}"
    return found or "no file sets it"


def watchdog_seconds(name: str) -> float:
    """Return systemd's present value; 0 is off."""
    answer = host.ask("busctl", "get-property", *MANAGER, name.removesuffix("Sec") + "USec")  # t 60000000
    return int(answer.split()[1]) / 1_000_000


def target(name: str) -> Iterable[host.Change]:
    """Yield the change of the boot target."""
    now = host.ask("systemctl", "get-default").strip()
    if now != name:
        yield host.Change("boot target", now, name, lambda: host.ask("systemctl", "set-default", name))


def units(names: list[str], notes: list[str]) -> Iterable[host.Change]:
    """Yield units that are not active although their condition is met."""
    shown = "Id,ActiveState,NeedDaemonReload,ConditionResult,ConditionTimestampMonotonic"
    text = host.ask("systemctl", "show", "--property", shown, *names)
    for name, found in zip(names, blocks(text), strict=True):
        if condition_failed(found):
            notes.append(f"{name}: its condition is not met here")
        elif found["ActiveState"] != "active":
            yield host.Change(name, found["ActiveState"], "active", lambda name=name: start(name))


def blocks(text: str) -> list[dict[str, str]]:
    """Return the blocks of ``systemctl show``, one per unit, in the order of the request."""
    return [dict(line.split("=", 1) for line in part.splitlines()) for part in text.strip().split("\n\n")]


def condition_failed(unit: dict[str, str]) -> bool:
    """Return whether systemd skipped the unit because of its condition."""
    return unit["ConditionResult"] == "no" and unit["ConditionTimestampMonotonic"] != "0"


def start(name: str) -> None:
    """Start a unit and wait for it; raise with its log if it fails."""
    done = host.run("systemctl", "start", name)
    if done.returncode != 0:
        said = host.run(
            "journalctl", "--unit", name, "--lines", "5", "--no-pager", "--output", "cat"
        ).stdout.strip()
        raise host.HostError(f"unit_failed: {name} does not start — {done.stderr.strip()}\n{said}")
