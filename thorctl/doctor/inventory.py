"""Can every device of the inventory be reached with what lies here: its key, its host key, its profile?"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.doctor.check import Check
from thorctl.errors import ThorError
from thorctl.ssh_options import parse_ssh_options
from thorctl.ssh_trust import USER_KNOWN_HOSTS, Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.fleet import Device

AREA = "inventory"
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # ssh refuses a key that anybody else may touch


def checks(source: Path, devices: Sequence[Device]) -> list[Check]:
    """What the inventory holds; then each key file once, and each device's host key and profile."""
    keys = {device.key: None for device in devices}
    found = [Check(AREA, "inventory", "pass", f"{len(devices)} in {source}")]
    found += [_key(key) for key in keys]
    found.append(_gathered("host keys", [_host_key(device) for device in devices], "recorded"))
    found.append(_gathered("profiles", [_profile(device) for device in devices], "each device has one"))
    return found


def _key(key: Path | None) -> Check:
    if key is None:
        return Check(
            AREA,
            "SSH key",
            "warn",
            "not named: whatever ssh finds in ~/.ssh or the agent",
            "Name it: ansible_ssh_private_key_file in the inventory.",
        )
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        key.read_bytes()
    except OSError as error:
        remedy = "Correct ansible_ssh_private_key_file in the inventory, or the file's owner."
        return Check(AREA, "SSH key", "fail", f"{key}: {error.strerror or error}", remedy)
    if mode & OTHERS:
        return Check(
            AREA, "SSH key", "fail", f"{key} has mode {mode:04o}: ssh will refuse it", f"chmod 600 {key}"
        )
    return Check(AREA, "SSH key", "pass", f"readable, mode {mode:04o}: {key}")


def _host_key(device: Device) -> tuple[str, str, str] | None:
    """(device, what is wrong, what to do), or None."""
    try:
        options = parse_ssh_options(device.ssh_args)
    except ValueError as error:
        return device.name, f"ansible_ssh_common_args: {error}", "Correct it in the inventory."
    files = (device.known_hosts,) if device.known_hosts else tuple(map(Path, options.known_hosts))
    host = options.host_key_alias or device.host
    try:
        trust = Trust.read(device.name, host, device.port, files or USER_KNOWN_HOSTS)
    except ThorError as error:
        return device.name, error.message, error.remedy
    if trust.has_entry:
        return None
    unknown = trust.error("")
    return device.name, unknown.message, unknown.remedy


def _profile(device: Device) -> tuple[str, str, str] | None:
    missing = [
        variable
        for variable, value in (("thor_profile", device.profile), ("thor_device_class", device.device_class))
        if value is None
    ]
    if not missing:
        return None
    return (
        device.name,
        f"no {' and no '.join(missing)}",
        "Set it in the inventory.",
    )


def _gathered(title: str, found: Sequence[tuple[str, str, str] | None], fine: str) -> Check:
    """One check over all devices: the first that is wrong, and how many more."""
    wrong = [one for one in found if one]
    if not wrong:
        return Check(AREA, title, "pass", fine)
    name, message, remedy = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Check(AREA, title, "fail", f"{name}: {message}{more}", remedy)
