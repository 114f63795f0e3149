#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a host is told besides files, looked at and put right in one round trip. Runs on the device."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import re
import subprocess
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCUMENTATION = r"""
---
module: thor_system
short_description: Account, held packages, units, watchdog, boot target and clock of a host, in one round trip
description:
  - Looks at each thing that is asked for, and changes only what differs. What is not asked for is not
    looked at.
  - A device that has converged is asked once.
options:
  account:
    description:
      - Name of a system account without a login shell or a home of its own, to be there.
      - An account of that name that can log in is somebody's, and left alone.
    type: str
  account_before:
    description:
      - Name that O(account) had earlier. An account of that name that this module made is renamed, so that it
        keeps its files. Any other is left alone.
    type: str
  engine_account:
    description:
      - Name of a system account as which the engine runs, with a group of its own, to be there.
      - An account of that name that can log in is an error.
    type: str
  groups:
    description: Names of system groups to be there.
    type: list
    elements: str
    default: []
  packages:
    description: Patterns of package names, as C(nvidia-l4t-*). What is not installed does not matter.
    type: list
    elements: str
    default: []
  packages_state:
    description: Whether these packages stay at their version, may be upgraded, or are left as they are.
    type: str
    choices: [held, released, alone]
    default: alone
  active:
    description: Units that have to be active. One whose condition is not met on this device is left alone.
    type: list
    elements: str
    default: []
  watchdog_seconds:
    description:
      - What systemd is to have as RuntimeWatchdogSec. It is re-executed to take its files in. Without a
        watchdog device this does nothing.
    type: int
  reboot_watchdog_seconds:
    description: What systemd is to have as RebootWatchdogSec. Only with O(watchdog_seconds).
    type: int
  snaps_held:
    description:
      - Whether snapd is to refresh no snap by itself. V(false) leaves it alone.
      - A snapd that does not answer, or is older than 2.58 and knows no such hold, is a note.
    type: bool
    default: false
  target:
    description: The target to boot into. Taken at the next boot; nothing is stopped now.
    type: str
  clock_seconds:
    description:
      - How long to wait for a synchronised clock. Synchronisation is switched on where it is off.
      - Not in a container, whose clock is its host's.
    type: int
  controller_time:
    description: Seconds since 1970 on the controller, to tell a clock that is late from one that is wrong.
    type: float
  set_clock:
    description: Whether a wrong clock that nothing synchronises is set from O(controller_time).
    type: bool
    default: false
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: Hold the packages of Jetson Linux
  thor_system:
    packages: [nvidia-l4t-*]
    packages_state: held
"""

RETURN = r"""
notes:
  description: What could not be done here and does not have to be, such as a watchdog without a device.
  returned: always
  type: list
  elements: str
"""

# No Thor is older than this (Jetson Linux 38.2): such a clock was never set.
EARLIEST_POSSIBLE = 1_755_820_800.0  # 2025-08-22
WRONG_SECONDS = 3600.0  # certificates are valid for longer than they are refused over this
# As systemd-timedated: the kernel counts the error up, and past 16 s nobody disciplines the clock.
MAXERROR_MICROSECONDS = 16_000_000
LOOK_EVERY_SECONDS = 1.0
# Right after a boot Ubuntu's own upgrade may have dpkg for minutes.
LOCK_SECONDS = 600.0
LOCK_PAUSE_SECONDS = 5.0
LOCKED = "locked by another process"  # dpkg's words, of whichever of its locks
CAP_SYS_TIME = 25
SNAPS_HELD = "forever"  # snapd 2.58 and later
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
FIRST_LOGIN_UID = 1000
COMMENT = "thorctl"  # of accounts made here
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


class HostError(Exception):
    """Something that needs a person: code, sentence and remedy in one text."""


@dataclass(frozen=True)
class Change:
    """One difference, and what removes it."""

    what: str
    before: str
    after: str
    make: Callable[[], None]


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str"},
            "account_before": {"type": "str"},
            "engine_account": {"type": "str"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "packages_state": {"type": "str", "choices": ["held", "released", "alone"], "default": "alone"},
            "active": {"type": "list", "elements": "str", "default": []},
            "watchdog_seconds": {"type": "int"},
            "reboot_watchdog_seconds": {"type": "int"},
            "snaps_held": {"type": "bool", "default": False},
            "target": {"type": "str"},
            "clock_seconds": {"type": "int"},
            "controller_time": {"type": "float"},
            "set_clock": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted, notes = module.params, []
    try:
        changes = list(differences(wanted, notes))
        if not module.check_mode:
            for change in changes:
                change.make()
    except HostError as problem:
        module.fail_json(msg=str(problem), notes=notes)
    diff = [
        {
            "before_header": change.what,
            "after_header": change.what,
            "before": change.before + "\n",
            "after": change.after + "\n",
        }
        for change in changes
    ]
    module.exit_json(changed=bool(changes), notes=notes, diff=diff)


def differences(wanted: dict[str, Any], notes: list[str]) -> Iterable[Change]:
    """What differs from what is wanted, in the order in which it is to be made."""
    yield from groups(wanted["groups"])
    if wanted["engine_account"]:
        yield from engine_account(wanted["engine_account"])
    if wanted["account"]:
        yield from account(wanted["account"], notes, before=wanted["account_before"])
    if wanted["packages_state"] != "alone":
        yield from packages(wanted["packages"], held=wanted["packages_state"] == "held")
    if wanted["watchdog_seconds"] is not None:
        yield from watchdog(wanted["watchdog_seconds"], wanted["reboot_watchdog_seconds"], notes)
    if wanted["snaps_held"]:
        yield from snaps(notes)
    if wanted["target"]:
        yield from target(wanted["target"])
    if wanted["active"]:
        yield from units(wanted["active"], notes)
    if wanted["clock_seconds"] is not None:
        yield from clock(wanted, notes)


def groups(names: list[str]) -> Iterable[Change]:
    """System groups that are absent."""
    there = {one.gr_name for one in grp.getgrall()}
    for name in names:
        if name not in there:
            argv = ("groupadd", "--system", name)
            yield Change(f"group {name}", "absent", "a system group", lambda argv=argv: do(*argv))


def engine_account(name: str) -> Iterable[Change]:
    """The engine's account; a person's account of that name is an error."""
    problems: list[str] = []
    yield from account(name, problems)
    if problems:
        raise HostError(
            f"account_taken: {name} is an account that somebody logs in to — rename it: the engine needs "
            "a system account of that name"
        )


def account(name: str, notes: list[str], before: str | None = None) -> Iterable[Change]:
    """A system account that nobody logs in to; one that we made under the name ``before`` is renamed."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        if before and is_ours(before):
            yield Change(f"account {name}", f"named {before}", f"named {name}", lambda: rename(before, name))
            return
        argv = (
            *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"),
            *("--shell", NO_LOGIN[0], "--comment", COMMENT, name),
        )
        yield Change(f"account {name}", "absent", "a system account without a login", lambda: do(*argv))
        return
    if not is_system_account(found.pw_uid, found.pw_shell):
        notes.append(
            f"{name} is an account that somebody logs in to: left alone (thor_host_account names another)"
        )


def is_ours(name: str) -> bool:
    """Whether ``account`` made an account of that name."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return False
    return found.pw_gecos == COMMENT and is_system_account(found.pw_uid, found.pw_shell)


def rename(before: str, name: str) -> None:
    """Another name for an account and its group; both keep their ids, so that files stay theirs."""
    do("usermod", "--login", name, before)
    do("groupmod", "--new-name", name, before)


def is_system_account(uid: int, shell: str) -> bool:
    """Whether an account is one that services have, and people do not."""
    return 0 < uid < FIRST_LOGIN_UID and shell in NO_LOGIN


def packages(patterns: list[str], *, held: bool) -> Iterable[Change]:
    """Installed packages whose hold is not as wanted."""
    wrong = holds_to_change(installed(), patterns, held=held)
    if wrong:
        verb, words = ("hold", ("upgradable", "held")) if held else ("unhold", ("held", "upgradable"))
        before, after = (f"{word}: {' '.join(wrong)}" for word in words)
        yield Change("packages", before, after, lambda: do_unlocked("apt-mark", verb, *wrong))


def installed() -> str:
    """Name, wanted state and state of each package that dpkg knows."""
    return ask(
        "dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Want} ${db:Status-Status}\\n"
    )


def holds_to_change(listing: str, patterns: list[str], *, held: bool) -> list[str]:
    """The installed packages of ``listing`` (``installed``) that match and are not ``held`` as wanted."""
    wrong = []
    for line in listing.splitlines():
        name, want, state = line.split()
        matches = any(fnmatchcase(name.partition(":")[0], pattern) for pattern in patterns)
        if matches and state == "installed" and (want == "hold") != held:
            wrong.append(name)
    return wrong


def watchdog(seconds: int, at_reboot: int | None, notes: list[str]) -> Iterable[Change]:
    """systemd with other watchdog intervals than these; None: left alone."""
    if not (Path("/dev/watchdog0").exists() or Path("/dev/watchdog").exists()):
        notes.append("this device has no watchdog")
        return
    wanted = {"RuntimeWatchdogSec": seconds, "RebootWatchdogSec": at_reboot}
    before = {name: watchdog_seconds(name) for name, value in wanted.items() if value is not None}
    after = {name: float(wanted[name]) for name in before}
    if before != after:
        words = ["; ".join(f"{name} {value:g} s" for name, value in one.items()) for one in (before, after)]
        yield Change("watchdog", *words, lambda: set_watchdog(after))


def set_watchdog(wanted: dict[str, float]) -> None:
    """Has systemd read its files again; they must say so."""
    do("systemctl", "daemon-reexec")
    for name, seconds in wanted.items():
        now = watchdog_seconds(name)
        if now != seconds:
            raise HostError(
                f"watchdog_not_taken: systemd has {name} {now:g} s, not {seconds:g} s — {said_by(name)}; "
                "`journalctl -b _PID=1` tells whether the device has such an interval; leave it alone "
                "with thor_host_watchdog_seconds: null"
            )


def said_by(name: str) -> str:
    """The file whose setting systemd takes: of those in a .d directory the last one in the alphabet."""
    place, found = "", ""
    for line in run("systemd-analyze", "cat-config", "systemd/system.conf").stdout.splitlines():
        if line.startswith("# /"):
            place = line[2:]
        elif line.replace(" ", "").startswith(f"{name}="):
            found = f"{place} says {line.strip()}"
    return found or "no file says so"


def watchdog_seconds(name: str) -> float:
    """What systemd has now; 0 is off."""
    answer = ask("busctl", "get-property", *MANAGER, name.removesuffix("Sec") + "USec")  # t 60000000
    return int(answer.split()[1]) / 1_000_000


def snaps(notes: list[str]) -> Iterable[Change]:
    """Snaps that are refreshed by themselves."""
    if not Path("/usr/bin/snap").exists():
        return
    done = run("snap", "get", "system", "refresh.hold")
    now = done.stdout.strip() if done.returncode == 0 else ""
    if done.returncode != 0 and "refresh.hold" not in done.stderr:
        notes.append(f"snapd does not answer, and may refresh snaps: {done.stderr.strip()}")
    elif now != SNAPS_HELD:
        yield Change("snap refreshes", now or "not held", SNAPS_HELD, lambda: hold_snaps(notes))


def hold_snaps(notes: list[str]) -> None:
    """Has snapd refresh nothing by itself; `snap refresh` still does."""
    done = run("snap", "set", "system", f"refresh.hold={SNAPS_HELD}")
    if done.returncode != 0:
        notes.append(f"snaps are not held: {done.stderr.strip()}")


def target(name: str) -> Iterable[Change]:
    """Another boot target."""
    now = ask("systemctl", "get-default").strip()
    if now != name:
        yield Change("boot target", now, name, lambda: do("systemctl", "set-default", name))


def units(names: list[str], notes: list[str]) -> Iterable[Change]:
    """Units that are not active although nothing forbids it."""
    shown = "Id,ActiveState,NeedDaemonReload,ConditionResult,ConditionTimestampMonotonic"
    text = ask("systemctl", "show", "--property", shown, *names)
    for name, found in zip(names, blocks(text), strict=True):
        if condition_failed(found):
            notes.append(f"{name}: its condition is not met here")
        elif found["ActiveState"] != "active":
            yield Change(name, found["ActiveState"], "active", lambda name=name: start(name))


def blocks(text: str) -> list[dict[str, str]]:
    """The blocks of ``systemctl show``, one per unit, in the order in which they were asked for."""
    return [dict(line.split("=", 1) for line in part.splitlines()) for part in text.strip().split("\n\n")]


def condition_failed(unit: dict[str, str]) -> bool:
    """Whether systemd tried to start it and found that it has nothing to do here."""
    return unit["ConditionResult"] == "no" and unit["ConditionTimestampMonotonic"] != "0"


def start(name: str) -> None:
    """Starts a unit and waits for it; what it said if it does not."""
    done = run("systemctl", "start", name)
    if done.returncode != 0:
        said = run(
            "journalctl", "--unit", name, "--lines", "5", "--no-pager", "--output", "cat"
        ).stdout.strip()
        raise HostError(f"unit_failed: {name} does not start — {done.stderr.strip()}\n{said}")


def clock(wanted: dict[str, Any], notes: list[str]) -> Iterable[Change]:
    """A clock that nothing keeps right: synchronisation switched on, then waited for."""
    if Path("/run/systemd/container").exists() or not may_set_clock():
        notes.append("the clock is the host's")
        return
    if synchronized():
        return
    state = dict(line.split("=", 1) for line in ask("timedatectl", "show").splitlines())
    wrong = is_wrong(time.time(), wanted["controller_time"])
    off = state.get("CanNTP") == "yes" and state.get("NTP") != "yes"
    if off:
        yield Change("time synchronisation", "off", "on", lambda: do("timedatectl", "set-ntp", "true"))
    if wrong and wanted["set_clock"] and wanted["controller_time"]:
        told = wanted["controller_time"]
        yield Change(
            "clock",
            text_of(time.time()),
            text_of(told),
            lambda: time.clock_settime(time.CLOCK_REALTIME, told),
        )
    if state.get("CanNTP") != "yes":
        notes.append("no service for time synchronisation is installed: apt-get install systemd-timesyncd")
    if wrong or off:
        yield Change("clock", "not synchronised", "synchronised", lambda: wait(wanted, notes))


def may_set_clock() -> bool:
    """Whether this machine's processes may have CAP_SYS_TIME at all."""
    bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bounding is None or bool(int(bounding[1], 16) >> CAP_SYS_TIME & 1)


def wait(wanted: dict[str, Any], notes: list[str]) -> None:
    """Waits for the kernel's clock to be kept right; a clock that is only unwatched is no failure."""
    deadline = time.monotonic() + wanted["clock_seconds"]
    while not synchronized():
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_EVERY_SECONDS)
    if synchronized():
        return
    now = time.time()
    if is_wrong(now, wanted["controller_time"]):
        raise HostError(
            f"clock_wrong: The device's clock says {text_of(now)} and was not synchronised within "
            f"{wanted['clock_seconds']} s: certificates would be refused — let it reach a time server "
            "(thor_time_servers), or set it by the controller's with -e thor_time_from_controller=true; "
            "-e thor_time_sync=false leaves it alone"
        )
    notes.append("the clock is plausible, but nothing keeps it right")


def is_wrong(now: float, controller: float | None) -> bool:
    """Whether TLS would fail by this clock."""
    return now < EARLIEST_POSSIBLE or (controller is not None and abs(now - controller) > WRONG_SECONDS)


def synchronized() -> bool:
    """Whether something keeps the kernel's clock right (adjtimex, as ``timedatectl`` judges it)."""
    # struct timex of 64-bit Linux, 26 longs: modes the first (0 = read only), maxerror the fourth.
    timex = (ctypes.c_long * 32)()
    return ctypes.CDLL(None).adjtimex(timex) >= 0 and timex[3] < MAXERROR_MICROSECONDS


def text_of(seconds: float) -> str:
    """A time for people, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def ask(*words: str) -> str:
    """What a program that only looks prints."""
    done = run(*words)
    if done.returncode != 0:
        raise HostError(f"{words[0]}_failed: {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def do(*words: str) -> None:
    """A program that changes something."""
    ask(*words)


def do_unlocked(*words: str) -> None:
    """As ``do``; where another package manager is at work, when that is done."""
    deadline = time.monotonic() + LOCK_SECONDS
    done = run(*words)
    while done.returncode != 0 and LOCKED in done.stderr:
        if time.monotonic() >= deadline:
            raise HostError(
                f"packages_locked: another program has had dpkg for {LOCK_SECONDS:g} s — see `ps ax | grep "
                "-E 'apt|dpkg|unattended'`, and run this again when it is done"
            )
        time.sleep(LOCK_PAUSE_SECONDS)
        done = run(*words)
    if done.returncode != 0:
        raise HostError(f"{words[0]}_failed: {' '.join(words)}: {done.stderr.strip()}")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A program, its output read in English, never waited for without end."""
    plain = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=plain)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]} is not installed")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", "no answer within 120 s")


if __name__ == "__main__":
    main()
