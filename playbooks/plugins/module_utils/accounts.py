# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""System accounts and groups: create missing ones, recognise our own. Runs on the device."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    from collections.abc import Iterable


NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
FIRST_LOGIN_UID = 1000
COMMENT = "thorctl"  # of accounts created here


def groups(names: list[str]) -> Iterable[host.Change]:
    """Yield missing system groups."""
    there = {one.gr_name for one in grp.getgrall()}
    for name in names:
        if name not in there:
            argv = ("groupadd", "--system", name)
            yield host.Change(f"group {name}", "absent", "a system group", lambda argv=argv: host.ask(*argv))


def engine_account(name: str) -> Iterable[host.Change]:
    """Yield the missing account of the engine; a person's account of that name is an error."""
    problems: list[str] = []
    yield from account(name, problems)
    if problems:
        raise host.HostError(
            f"account_taken: {name} is an account that somebody logs in to — rename it: the engine needs "
            "a system account of that name"
        )


def account(name: str, notes: list[str], before: str | None = None) -> Iterable[host.Change]:
    """Yield a missing system account without a login; rename one that we created as ``before``."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        if before and is_ours(before):
            yield host.Change(
                f"account {name}", f"named {before}", f"named {name}", lambda: rename(before, name)
            )
            return
        argv = (
            *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"),
            *("--shell", NO_LOGIN[0], "--comment", COMMENT, name),
        )
        yield host.Change(
            f"account {name}", "absent", "a system account without a login", lambda: host.ask(*argv)
        )
        return
    if not is_system_account(found.pw_uid, found.pw_shell):
        notes.append(
            f"{name} is an account that somebody logs in to: left alone (thor_host_account names another)"
        )


def is_ours(name: str) -> bool:
    """Return whether ``account`` created an account of that name."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return False
    return found.pw_gecos == COMMENT and is_system_account(found.pw_uid, found.pw_shell)


def rename(before: str, name: str) -> None:
    """Rename an account and its group; both keep their ids, so that their files stay theirs."""
    host.ask("usermod", "--login", name, before)
    host.ask("groupmod", "--new-name", name, before)


def is_system_account(uid: int, shell: str) -> bool:
    """Return whether an account is a service's, not a person's."""
    return 0 < uid < FIRST_LOGIN_UID and shell in NO_LOGIN
