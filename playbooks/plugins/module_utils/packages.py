# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hold packages and snaps at their version. Runs on the device."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    from collections.abc import Iterable


# Right after a boot Ubuntu's own upgrade may lock dpkg for minutes.
LOCK_SECONDS = 600.0
LOCK_PAUSE_SECONDS = 5.0
LOCKED = "locked by another process"  # dpkg's message for any of its locks
SNAPS_HELD = "forever"  # snapd 2.58 and later


def packages(patterns: list[str], *, held: bool) -> Iterable[host.Change]:
    """Yield the installed packages whose hold differs from the wanted one."""
    wrong = holds_to_change(installed(), patterns, held=held)
    if wrong:
        verb, words = ("hold", ("upgradable", "held")) if held else ("unhold", ("held", "upgradable"))
        before, after = (f"{word}: {' '.join(wrong)}" for word in words)
        yield host.Change("packages", before, after, lambda: do_unlocked("apt-mark", verb, *wrong))


def installed() -> str:
    """Return name, wanted state and state of each package known to dpkg."""
    return host.ask(
        "dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Want} ${db:Status-Status}\\n"
    )


def holds_to_change(listing: str, patterns: list[str], *, held: bool) -> list[str]:
    """Return the matching installed packages of ``listing`` whose hold differs from ``held``."""
    wrong = []
    for line in listing.splitlines():
        name, want, state = line.split()
        matches = any(fnmatchcase(name.partition(":")[0], pattern) for pattern in patterns)
        if matches and state == "installed" and (want == "hold") != held:
            wrong.append(name)
    return wrong


def do_unlocked(*words: str) -> None:
    """Run as ``do``; wait while another package manager holds the lock."""
    deadline = time.monotonic() + LOCK_SECONDS
    done = host.run(*words)
    while done.returncode != 0 and LOCKED in done.stderr:
        if time.monotonic() >= deadline:
            raise host.HostError(
                f"packages_locked: another program has had dpkg for {LOCK_SECONDS:g} s — see `ps ax | grep "
                "-E 'apt|dpkg|unattended'`, and run this again when it is done"
            )
        time.sleep(LOCK_PAUSE_SECONDS)
        done = host.run(*words)
    if done.returncode != 0:
        raise host.HostError(f"{words[0]}_failed: {' '.join(words)}: {done.stderr.strip()}")


def snaps(notes: list[str]) -> Iterable[host.Change]:
    """Yield the change that stops automatic refreshes of snaps."""
    if not Path("/usr/bin/snap").exists():
        return
    done = host.run("snap", "get", "system", "refresh.hold")
    now = done.stdout.strip() if done.returncode == 0 else ""
    if done.returncode != 0 and "refresh.hold" not in done.stderr:
        notes.append(f"snapd does not answer, and may refresh snaps: {done.stderr.strip()}")
    elif now != SNAPS_HELD:
        yield host.Change("snap refreshes", now or "not held", SNAPS_HELD, lambda: hold_snaps(notes))


def hold_snaps(notes: list[str]) -> None:
    """Stop automatic refreshes; `snap refresh` still works."""
    done = host.run("snap", "set", "system", f"refresh.hold={SNAPS_HELD}")
    if done.returncode != 0:
        notes.append(f"snaps are not held: {done.stderr.strip()}")
