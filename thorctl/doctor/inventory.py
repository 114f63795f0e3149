"""Check that every device of the inventory can be reached: its key, its host key, its profile."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.doctor.check import Check
from thorctl.errors import ThorError
from thorctl.release.desired import deploy_problem
from thorctl.remote import other_logins
from thorctl.remote.endpoint import resolve
from thorctl.remote.known_hosts import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.inventory.devices import Device
    from thorctl.remote.endpoint import Endpoint

AREA = "inventory"
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # ssh rejects a key with permissions for others


def checks(source: Path, devices: Sequence[Device], deploy: Path) -> list[Check]:
    """Check the inventory; then each key file once, and each device's host key and profile."""
    keys = {device.key: None for device in devices}
    found = [Check(AREA, "inventory", "pass", f"{len(devices)} in {source}")]
    found += [_key(key) for key in keys]
    found += _ways(devices)
    readable = [device for device in devices if not device.unread]
    found.append(_gathered("profiles", [_profile(device) for device in readable], "each device has one"))
    if any(device.deploy for device in readable):
        found.append(_gathered("deploy", [_deploy(deploy, one) for one in readable], "as site.yml has it"))
    sealed = [_sealed(device) for device in readable]
    if any(sealed):
        found.append(replace(_gathered("secrets", sealed, ""), status="warn"))
    return found


def _key(key: Path | None) -> Check:
    if key is None:
        return Check(
            AREA,
            "SSH key",
            "warn",
            "not set: ssh uses ~/.ssh or the agent",
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
            AREA,
            "SSH key",
            "fail",
            f"{key} has mode {mode:04o}: ssh will reject it",
            f"Restrict it: `chmod 600 {key}`.",
        )
    return Check(AREA, "SSH key", "pass", f"readable, mode {mode:04o}: {key}")


def _ways(devices: Sequence[Device]) -> list[Check]:
    """Check that thorctl supports each device's connection, and that its host keys are recorded."""
    ways: list[tuple[str, str, str] | None] = []
    keys: list[tuple[str, str, str] | None] = []
    unlike: list[tuple[str, str, str] | None] = []
    logins: list[tuple[str, str, str] | None] = []
    for device in devices:
        try:
            endpoint = resolve(device)
        except ThorError as error:
            ways.append((device.name, error.message, error.remedy))
            continue
        unlike.append(_unlike(device))
        logins.append(_other_login(device, endpoint))
        try:
            keys.append(_host_keys(device, endpoint))
        except ThorError as error:
            keys.append((device.name, error.message, error.remedy))
    found = [_gathered("ways", ways, "as with ssh"), _gathered("host keys", keys, "recorded")]
    if any(logins):
        found.append(replace(_gathered("logins", logins, ""), status="warn"))
    if any(unlike):
        found.append(replace(_gathered("Ansible's host keys", unlike, ""), status="warn"))
    return found


def _host_keys(device: Device, endpoint: Endpoint | None) -> tuple[str, str, str] | None:
    """Return (device, fault, remedy) for the first machine on the way without a recorded key, or None."""
    while endpoint:
        trust = Trust.of(device.name, endpoint)
        if not trust.has_entry:
            unknown = trust.error("")
            return device.name, unknown.message, unknown.remedy
        endpoint = endpoint.via
    return None


def _other_login(device: Device, endpoint: Endpoint | None) -> tuple[str, str, str] | None:
    """Report a login to the device or a jump host that only ssh supports: the device may need it."""
    while endpoint:
        for other in other_logins.usable(endpoint):
            said = f"{endpoint.alias}: ssh would also log in by {other.way}, thorctl does not"
            return device.name, said, other.remedy
        endpoint = endpoint.via
    return None


def _unlike(device: Device) -> tuple[str, str, str] | None:
    """Report a known_hosts file that only thorctl uses."""
    if (
        device.known_hosts is None
        or "userknownhostsfile" in f"{device.ssh_args_before} {device.ssh_args}".lower()
    ):
        return None
    ansible = resolve(replace(device, known_hosts=None))
    if Trust.of(device.name, ansible).has_entry:
        return None
    return (
        device.name,
        f"{device.known_hosts} is thorctl's alone: Ansible's ssh looks in {_files(ansible)}",
        "Add it for ssh: `ansible_ssh_common_args: -o UserKnownHostsFile={{ thor_known_hosts_file }}`.",
    )


def _files(endpoint: Endpoint) -> str:
    """Format the known_hosts files."""
    return ", ".join(map(str, endpoint.known_hosts)) or "no file"


def _sealed(device: Device) -> tuple[str, str, str] | None:
    if not device.sealed:
        return None
    said = f"{', '.join(device.sealed)} cannot be decrypted: playbooks need the vault's password"
    return device.name, said, "Name the password's file: ANSIBLE_VAULT_PASSWORD_FILE=FILE "


"(docs/how-to/secrets.md)."


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
        "Set it in the inventory, for the device or its group.",
    )


def _deploy(deploy: Path, device: Device) -> tuple[str, str, str] | None:
    error = deploy_problem(deploy, device)
    return (device.name, error.message, error.remedy) if error else None


def _gathered(title: str, found: Sequence[tuple[str, str, str] | None], fine: str) -> Check:
    """Return one check over all devices: the first fault, and the number of others."""
    wrong = [one for one in found if one]
    if not wrong:
        return Check(AREA, title, "pass", fine)
    name, message, remedy = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Check(AREA, title, "fail", f"{name}: {message}{more}", remedy)
