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
    """systemd with other watchdog intervals than these; None: left alone."""
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
    """Has systemd read its files again; they must say so."""
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
    """The file whose setting systemd takes: of those in a .d directory the last one in the alphabet."""
    place, found = "", ""
    for line in host.run("systemd-analyze", "cat-config", "systemd/system.conf").stdout.splitlines():
        if line.startswith("# /"):
            place = line[2:]
        elif line.replace(" ", "").startswith(f"{name}="):
            found = f"{place} says {line.strip()}"
    return found or "no file sets it"


def watchdog_seconds(name: str) -> float:
    """What systemd has now; 0 is off."""
    answer = host.ask("busctl", "get-property", *MANAGER, name.removesuffix("Sec") + "USec")  # t 60000000
    return int(answer.split()[1]) / 1_000_000


def target(name: str) -> Iterable[host.Change]:
    """Another boot target."""
    now = host.ask("systemctl", "get-default").strip()
    if now != name:
        yield host.Change("boot target", now, name, lambda: host.ask("systemctl", "set-default", name))


def units(names: list[str], notes: list[str]) -> Iterable[host.Change]:
    """Units that are not active although nothing forbids it."""
    shown = "Id,ActiveState,NeedDaemonReload,ConditionResult,ConditionTimestampMonotonic"
    text = host.ask("systemctl", "show", "--property", shown, *names)
    for name, found in zip(names, blocks(text), strict=True):
        if condition_failed(found):
            notes.append(f"{name}: its condition is not met here")
        elif found["ActiveState"] != "active":
            yield host.Change(name, found["ActiveState"], "active", lambda name=name: start(name))


def blocks(text: str) -> list[dict[str, str]]:
    """The blocks of ``systemctl show``, one per unit, in the order in which they were asked for."""
    return [dict(line.split("=", 1) for line in part.splitlines()) for part in text.strip().split("\n\n")]


def condition_failed(unit: dict[str, str]) -> bool:
    """Whether systemd tried to start it and found that it has nothing to do here."""
    return unit["ConditionResult"] == "no" and unit["ConditionTimestampMonotonic"] != "0"


def start(name: str) -> None:
    """Starts a unit and waits for it; what it said if it does not."""
    done = host.run("systemctl", "start", name)
    if done.returncode != 0:
        said = host.run(
            "journalctl", "--unit", name, "--lines", "5", "--no-pager", "--output", "cat"
        ).stdout.strip()
        raise host.HostError(f"unit_failed: {name} does not start — {done.stderr.strip()}\n{said}")
