# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The device's clock: check, synchronise, set. Runs on the device."""

from __future__ import annotations

import ctypes
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    from collections.abc import Iterable


# No Thor is older than this (Jetson Linux 38.2): such a clock was never set.
EARLIEST_POSSIBLE = 1_755_820_800.0  # 2025-08-22
WRONG_SECONDS = 3600.0  # a smaller error does not invalidate certificates in practice
# As systemd-timedated: the kernel increases the error, and above 16 s the clock is not synchronised.
MAXERROR_MICROSECONDS = 16_000_000
LOOK_EVERY_SECONDS = 1.0
CAP_SYS_TIME = 25


def clock(wanted: dict[str, Any], notes: list[str]) -> Iterable[host.Change]:
    """Yield the change for an unsynchronised clock: enable synchronisation, then wait for it."""
    if Path("/run/systemd/container").exists() or not may_set_clock():
        notes.append("the clock is the host's")
        return
    if synchronized():
        return
    state = dict(line.split("=", 1) for line in host.ask("timedatectl", "show").splitlines())
    wrong = is_wrong(time.time(), wanted["controller_time"])
    off = state.get("CanNTP") == "yes" and state.get("NTP") != "yes"
    if off:
        yield host.Change(
            "time synchronisation", "off", "on", lambda: host.ask("timedatectl", "set-ntp", "true")
        )
    if wrong and wanted["set_clock"] and wanted["controller_time"]:
        told = wanted["controller_time"]
        yield host.Change(
            "clock",
            text_of(time.time()),
            text_of(told),
            lambda: time.clock_settime(time.CLOCK_REALTIME, told),
        )
    if state.get("CanNTP") != "yes":
        notes.append("no service for time synchronisation is installed: apt-get install systemd-timesyncd")
    if wrong or off:
        yield host.Change("clock", "not synchronised", "synchronised", lambda: wait(wanted, notes))


def may_set_clock() -> bool:
    """Return whether this machine's processes may have CAP_SYS_TIME at all."""
    bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bounding is None or bool(int(bounding[1], 16) >> CAP_SYS_TIME & 1)


def wait(wanted: dict[str, Any], notes: list[str]) -> None:
    """Wait for the kernel's clock to be synchronised; a plausible unsynchronised clock is no failure."""
    deadline = time.monotonic() + wanted["clock_seconds"]
    while not synchronized():
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_EVERY_SECONDS)
    if synchronized():
        return
    now = time.time()
    if is_wrong(now, wanted["controller_time"]):
        raise host.HostError(
            f"clock_wrong: The device's clock says {text_of(now)} and was not synchronised within "
            f"{wanted['clock_seconds']} s: certificates would be refused — let it reach a time server "
            "(thor_time_servers), or set it by the controller's with -e thor_time_from_controller=true; "
            "-e thor_time_sync=false leaves it alone"
        )
    notes.append("the clock is plausible, but nothing keeps it right")


def is_wrong(now: float, controller: float | None) -> bool:
    """Return whether TLS would fail with this clock."""
    return now < EARLIEST_POSSIBLE or (controller is not None and abs(now - controller) > WRONG_SECONDS)


def synchronized() -> bool:
    """Return whether the kernel's clock is synchronised (adjtimex, as in ``timedatectl``)."""
    # struct timex of 64-bit Linux, 26 longs: modes the first (0 = read only), maxerror the fourth.
    timex = (ctypes.c_long * 32)()
    return ctypes.CDLL(None).adjtimex(timex) >= 0 and timex[3] < MAXERROR_MICROSECONDS


def text_of(seconds: float) -> str:
    """Format a time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
