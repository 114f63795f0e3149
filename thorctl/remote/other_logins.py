"""Logins that ssh supports and thorctl does not: reported by ``doctor``, and if all others fail."""

from __future__ import annotations

import functools
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from thorctl.remote.endpoint import Endpoint

SECONDS = 10.0  # for klist, which reads a file


class OtherLogin(NamedTuple):
    """One login: its text for a message, and the remedy."""

    way: str
    remedy: str


def usable(endpoint: Endpoint) -> list[OtherLogin]:
    """Return the ones that ssh may use here and now. Starts a program and reads files."""
    found = []
    for option in endpoint.not_tried:
        name, _, value = option.partition(" ")
        if name == "pkcs11provider":
            found.append(OtherLogin(option, f"Put the token's keys into the agent: ssh-add -s {value}."))
        elif name == "gssapiauthentication" and _has_ticket():
            found.append(OtherLogin(f"{option} with a Kerberos ticket", _KEY))
        elif name == "hostbasedauthentication":
            found.append(OtherLogin(option, _KEY))
    if endpoint.control_path and _is_socket(endpoint.control_path):
        way = f"the open connection of ControlPath {endpoint.control_path}"
        found.append(OtherLogin(way, _KEY))
    return found


_KEY = "Give that user a key or a certificate for the device: thorctl logs in by keys and passwords only."


@functools.cache
def _has_ticket() -> bool:
    program = shutil.which("klist")
    if program is None:
        return False
    try:
        return subprocess.run([program, "-s"], check=False, timeout=SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False
