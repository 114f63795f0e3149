"""NetworkManager's connections, from nmcli, and their properties that require a login."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTIVE_FIELDS = "UUID,TYPE,DEVICE,NAME"
DEVICE_FIELDS = "DEVICE,STATE"
VPN = "vpn"
_FIRST = "connection.id"
_FIELD = re.compile(r"(?:^|:)((?:[^\\:]|\\.)*)")
_VPN_FLAGS = re.compile(r"(?:^|, )([^,=]+-flags) = (\d+)")

# NMSettingSecretFlags. A secret that is not required may be absent.
_AGENT_OWNED, _NOT_SAVED, _NOT_REQUIRED = 1, 2, 4

_WIFI, _EAP = "802-11-wireless-security", "802-1x"
# The secret of a Wi-Fi network by its key management; `wpa-eap…` needs those of 802.1X.
_WIFI_SECRETS = {
    "none": ("wep-key",),
    "ieee8021x": ("leap-password",),
    "wpa-psk": ("psk",),
    "sae": ("psk",),
}
_EAP_SECRETS = {
    "tls": ("private-key-password",),
    "sim": ("pin",),
}
_PASSWORD_SECRETS = ("password", "password-raw")
_OTHER_SECRETS = (
    "gsm.password",
    "gsm.pin",
    "cdma.password",
    "pppoe.password",
    "adsl.password",
    "wireguard.private-key",
    "macsec.mka-cak",
)


@dataclass(frozen=True)
class Active:
    """An active connection and the network devices that it uses."""

    uuid: str
    type: str
    devices: tuple[str, ...]
    name: str


def parse_active(text: str | None) -> list[Active] | None:
    """Parse `nmcli -t -f ACTIVE_FIELDS connection show --active`; None if malformed."""
    rows = _rows(text, ACTIVE_FIELDS)
    if rows is None:
        return None
    return [Active(uuid, kind, tuple(filter(None, used.split(","))), name) for uuid, kind, used, name in rows]


def parse_external(text: str | None) -> set[str] | None:
    """Return the devices of `nmcli -t -f DEVICE_FIELDS device` managed by others, such as docker0."""
    rows = _rows(text, DEVICE_FIELDS)
    return None if rows is None else {name for name, state in rows if "(externally)" in state}


def _rows(text: str | None, fields: str) -> list[list[str]] | None:
    """Return the rows of a terse table, where a colon in a value is escaped; None if malformed."""
    if text is None:
        return None
    rows = [[re.sub(r"\\(.)", r"\1", one) for one in _FIELD.findall(line)] for line in text.splitlines()]
    return rows if all(len(row) == len(fields.split(",")) for row in rows) else None


def parse_profiles(text: str | None) -> dict[str, dict[str, str]]:
    """Return the properties of each connection of `nmcli -t connection show UUID…`, by its UUID."""
    blocks: list[dict[str, str]] = []
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        if key == _FIRST:
            blocks.append({})
        if colon and blocks:
            blocks[-1][key] = "" if value == "--" else value
    return {block["connection.uuid"]: block for block in blocks if "connection.uuid" in block}


def needs_login(profile: Mapping[str, str], *, started_by_another: bool = False) -> list[str]:
    """Return the properties that keep a connection down until a login, such as `802-1x.password-flags=1`.

    Args:
        profile: its properties.
        started_by_another: another connection starts it (`connection.secondaries`), as for a VPN.
    """
    found = []
    if profile.get("connection.permissions"):
        found.append(f"connection.permissions={profile['connection.permissions']}")
    if profile.get("connection.type") == VPN:
        if not started_by_another:
            found.append("connection.secondaries")  # NetworkManager never starts a VPN by itself
    elif profile.get("connection.autoconnect") != "yes" and not started_by_another:
        found.append("connection.autoconnect=no")
    flags = {f"{secret}-flags": profile.get(f"{secret}-flags") for secret in _secrets(profile)}
    flags |= {f"vpn.data {name}": value for name, value in _VPN_FLAGS.findall(profile.get("vpn.data", ""))}
    return found + [f"{name}={value}" for name, value in flags.items() if value and _not_stored(value)]


def _not_stored(value: str) -> bool:
    """Return whether NetworkManager has to ask a logged-in user; a flag that is no number counts as one."""
    flags = integer(value.split(" ", maxsplit=1)[0])
    return flags is None or (bool(flags & (_AGENT_OWNED | _NOT_SAVED)) and not flags & _NOT_REQUIRED)


def _secrets(profile: Mapping[str, str]) -> list[str]:
    """Return the secrets that the connection uses: flags of others are remnants of an earlier setting."""
    key_management = profile.get(f"{_WIFI}.key-mgmt", "")
    found = [f"{_WIFI}.{secret}" for secret in _WIFI_SECRETS.get(key_management, ())]
    for method in filter(None, re.split(r"[,\s]+", profile.get(f"{_EAP}.eap", ""))):
        found += [f"{_EAP}.{secret}" for secret in _EAP_SECRETS.get(method, _PASSWORD_SECRETS)]
    if "tls" in (profile.get(f"{_EAP}.phase2-auth"), profile.get(f"{_EAP}.phase2-autheap")):
        found.append(f"{_EAP}.phase2-private-key-password")
    return found + list(_OTHER_SECRETS)
