"""The account without a login: what reads foreign bytes from the network runs as it, not as root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.agent.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.context import Context

FIRST_LOGIN_UID = 1000
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")  # as the module thor_system


@dataclass(frozen=True)
class Account:
    """A system account of this device."""

    uid: int
    gid: int


ROOT = Account(0, 0)


def find(ctx: Context) -> Account:
    """The account that /etc/thor/device.json names (role thor_host); root where that is none of a service."""
    try:
        device: Any = read_json(ctx.paths.device_json) or {}
        entry = pwd.getpwnam(str(device.get("account") or ""))
    except (KeyError, ValueError, AttributeError):
        return ROOT
    if not 0 < entry.pw_uid < FIRST_LOGIN_UID or entry.pw_shell not in NO_LOGIN:
        ctx.log.warning("%s is somebody's account: the download runs as root", entry.pw_name)
        return ROOT
    return Account(entry.pw_uid, entry.pw_gid)


def own(account: Account, directory: Path) -> None:
    """Makes everything below ``directory`` the account's; nothing outside of it, whatever links say."""
    os.lchown(directory, account.uid, account.gid)
    for place, directories, names in os.walk(directory):
        for name in (*directories, *names):
            os.lchown(os.path.join(place, name), account.uid, account.gid)  # noqa: PTH118 - a tree may be large


def drop_links(directory: Path) -> None:
    """Removes symbolic links below ``directory``: hf makes none, and root would write where they point."""
    for place, directories, names in os.walk(directory):
        for name in (*directories, *names):
            path = os.path.join(place, name)  # noqa: PTH118 - a tree may be large
            if os.path.islink(path):  # noqa: PTH114
                os.unlink(path)  # noqa: PTH108
